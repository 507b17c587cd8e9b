"""The trainings of which make_train.py computes the first step's gradient and tests/test_gradient.py compares it: the
name of each and the program's options, which both read."""
import os

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data", "cifar10-sample.h5")
# With beta1 = 0 Adam's first moment is the gradient; at such a rate no weight moves by a bit.
ALWAYS = "--steps 1 --beta1 0 --learning-rate 1e-12 --seed 7"
SMALL = "--batch 38 --code 8 --projection 24 "

CASES = {
    "I": SMALL + "--circumstance I",
    "II": SMALL + "--circumstance II",
    "I+II": SMALL + "--circumstance I+II",
    "stein": SMALL + "--circumstance I --estimator stein --eta 0.02 --iterations 2 --calibrate scale",
    "identity": SMALL + "--circumstance II --estimator stein --width-scale 1.5 --calibrate stein",
    "fresh": SMALL + "--circumstance I+II --threshold 0.98 --width-scale 0.8 --fresh-projection",
}


def words(name):
    return [*CASES[name].split(), *ALWAYS.split()]
