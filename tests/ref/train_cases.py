"""The trainings that make_train.py does with PyTorch and tests/test_gradient.py with the program: the name of each and the
program's options, which both read. Of CASES the first step's gradient, of RUNS the losses of all steps."""
import os

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data", "cifar10-sample.h5")
# With beta1 = 0 Adam's first moment is the gradient; at such a rate no weight moves by a bit.
ONE_STEP = "--steps 1 --beta1 0 --learning-rate 1e-12 --seed 7"
SMALL = "--batch 38 --code 8 "
SSGE = "--estimator ssge --threshold 0.99 --width-scale 1 --calibrate none "
STEIN = "--estimator stein --eta 0.1 --iterations 3 --width-scale 2 --calibrate scale "
ONE = SMALL + "--projection 24 --objective mige "
PAIRS = SMALL + "--circumstance I "
VIEWS = SMALL + "--circumstance views --augment flip "
MLP = "--encoder mlp:32,16 "
IB = SMALL + MLP + "--task ib "
ONE_DRAW = "--draws 1 --marginal-draws 1"
DRAWS = "--draws 8 --marginal-draws 2 --beta 0.1 "

CASES = {
    "I": ONE + SSGE + "--circumstance I",
    "II": ONE + SSGE + "--circumstance II",
    "I+II": ONE + SSGE + "--circumstance I+II",
    "stein": ONE + "--circumstance I --estimator stein --eta 0.02 --iterations 2 --calibrate scale --width-scale 1",
    "identity": ONE + "--circumstance II --estimator stein --eta 0.01 --iterations 3 --calibrate stein --width-scale 1.5",
    "fresh": ONE + "--circumstance I+II --estimator ssge --calibrate none --threshold 0.98 --width-scale 0.8 --fresh-projection",
    "clip": ONE + SSGE + "--circumstance I --clip 1",
    "prior": ONE + STEIN + "--circumstance I --prior-matching 0.5",
    "jsd": PAIRS + "--objective jsd --critic dot",
    "infonce": PAIRS + "--objective infonce --critic dot",
    "dv": PAIRS + "--objective dv --critic dot",
    "concat": PAIRS + "--objective jsd --critic concat",
    "infonce-concat": PAIRS + "--objective infonce --critic concat",
    "dv-concat": PAIRS + "--objective dv --critic concat",
    "jsd-prior": PAIRS + "--objective jsd --critic dot --prior-matching 1",
    # 34 images: of 38, the input of a ReLU is so near 0 that a BLAS's rounding decides whether its gradient is there.
    "views": VIEWS.replace("38", "34") + STEIN + "--objective mige",
    "views-ssge": VIEWS + SSGE + MLP + "--objective mige",
    "views-infonce": VIEWS + MLP + "--objective infonce --temperature 0.3",
    "views-jsd": VIEWS + MLP + "--objective jsd",
    "views-dv": VIEWS + MLP + "--objective dv --prior-matching 0.3",
    "dvb-dim": SMALL + "--task ib --encoder dim --objective dvb --beta 0.1 --scale-penalty 0 --draws 2",
    "ce": IB + "--objective ce",
    "dropout": IB + "--objective dropout --hidden-dropout 0.3",
    "confidence": IB + "--objective confidence-penalty --confidence 0.4",
    "smoothing": IB + "--objective label-smoothing --smoothing 0.2",
    "dvb": IB + "--objective dvb --beta 0.01 --scale-penalty 0 --draws 1",
    "dvb-draws": IB + "--objective dvb --beta 0.2 --scale-penalty 0.05 --draws 3",
    "mige-ib": IB + STEIN + "--objective mige-ib --conditional gaussian --beta 0.01 --scale-penalty 0.01 " + ONE_DRAW,
    "mige-ib-ssge": IB + STEIN + DRAWS + "--objective mige-ib --conditional ssge --scale-penalty 0",
    "mige-ib-range": IB + STEIN + DRAWS + "--objective mige-ib --conditional gaussian --sigma-range 0.6:0.7 --scale-penalty 0",
    "implicit": IB + STEIN + DRAWS + "--objective mige-ib --conditional ssge --implicit --scale-penalty 0.02",
    "implicit-ssge": IB + SSGE + DRAWS + "--objective mige-ib --conditional ssge --implicit --scale-penalty 0",
    "mine-ib": IB + "--objective mine-ib --beta 0.5 --scale-penalty 0 --draws 1",
    "mine-ib-draws": IB + "--objective mine-ib --beta 0.5 --scale-penalty 0 --draws 2 --implicit",
}


# Of so many images two batches make an epoch, and four are left over.
IMAGES = 80
STEPS = "--steps 5 --batch 38 --code 8 --seed 3 --beta1 0.5 --beta2 0.999 --learning-rate 1e-3 "
PLAIN = "--schedule constant --warmup 0 --weight-decay 0 --clip 0"
RUNS = {
    "run": STEPS + STEIN + "--projection 24 --circumstance I+II --objective mige " + PLAIN,
    "run-fresh": STEPS + STEIN + "--projection 24 --circumstance I --objective mige --fresh-projection " + PLAIN,
    "run-prior": STEPS.replace("5", "4", 1) + "--circumstance I --objective jsd --critic concat --prior-matching 1 --clip 1 "
                         "--schedule constant --warmup 0 --weight-decay 0",
    "run-views": STEPS + STEIN + MLP + "--circumstance views --augment flip --objective mige --schedule cosine --warmup 2 "
                                       "--weight-decay 0 --clip 0",
    "run-dropout": STEPS + MLP + "--task ib --objective dropout --hidden-dropout 0.5 --schedule step --decay 0.5 "
                                 "--decay-every 1 --warmup 0 --weight-decay 0 --clip 0",
    "run-dvb": STEPS + MLP + "--task ib --objective dvb --beta 0.1 --draws 2 --scale-penalty 0 --weight-decay 10 "
                             "--schedule constant --warmup 0 --clip 0",
    "run-average": STEPS.replace("1e-3", "1e-2") + MLP + "--task ib --objective ce --average 0.7 --test-every 1 " + PLAIN,
    "run-mine": STEPS + MLP + "--task ib --objective mine-ib --beta 0.5 --implicit --draws 2 --scale-penalty 0 " + PLAIN,
}


def words(name):
    return [*CASES[name].split(), *ONE_STEP.split()] if name in CASES else RUNS[name].split()
