#!/usr/bin/env python3
"""The gradient of every parameter, as the optimiser gets it, is that of an independent computation: tests/ref/train.txt,
which make_train.py wrote with PyTorch. With beta1 = 0 Adam's first moment in the checkpoint is the gradient itself. And
the losses of some steps, over the end of an epoch and gone on with on other ranks.

  tests/test_gradient.py [-v] [CASE...]    CASE: "I", or "I np 2"; -v prints the largest errors

Environment: MIGE_RANKS, on how many ranks all cases run ("1 2 3 4"), which takes ten minutes."""
import os
import sys

import h5py
import numpy as np

from program import Cases, good, path, write_data

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "ref"))
import train_cases  # noqa: E402 (it is where the references are)

SINGLE = 1e-4  # of a tensor's root mean square: what is left of single precision behind some layers
ZERO = 1e-5  # of the largest tensor's, of what is zero of itself
STEPS = 1e-3  # of a loss, after steps in which Adam makes much of what is near zero
ASKED = [int(n) for n in os.environ.get("MIGE_RANKS", "").split()]


def ranks_of(case):
    """Deep InfoMax's encoder takes its time."""
    return ASKED or ([1, 2, 3, 4] if case in ("I", "I+II") else [1, 2, 3] if "mlp" in train_cases.CASES[case] else [1, 3])


def references():
    """{case: {name: (count, values, stride, norm)}}"""
    found = {}
    with open(os.path.join(HERE, "ref", "train.txt")) as f:
        for head in f:
            name, count, stored, stride, norm = head.split()
            values = np.array(f.readline().split(), float)
            assert len(values) == int(stored), name
            case, what = name.split("/", 1)
            found.setdefault(case, {})[what] = int(count), values, int(stride), float(norm)
    return found


def tensors(folder, step, group):
    """{"member/tensor": values}"""
    with h5py.File(os.path.join(folder, f"checkpoint-{step}.h5")) as f:
        return {f"{m}/{t}": a[:].astype(float).ravel() for m in f[group] for t, a in f[group][m].items()}


def losses(folder):
    with h5py.File(os.path.join(folder, "metrics.h5")) as f:
        return f["train/loss"][:]


def train(case, ranks, data, *more, name=""):
    folder = path(f"{case}-{name or ranks}")
    good("train", "--data", data, "--out", folder, "--quiet", "--precision", "float", *train_cases.words(case), *more, ranks=ranks)
    return folder


def errors(got, reference, largest):
    """In size and in each stored element, relative to the tensor's root mean square; and in direction, 1 - cosine. What
    is zero of itself, as the bias of a critic whose bound knows differences only, is rounding: against the largest."""
    count, values, stride, norm = reference
    assert got.size == count, f"{got.size} elements, {count} expected"
    scale, sample = norm / np.sqrt(count), got[::stride]
    if scale < 1e-9 * largest:
        return np.abs(got).max() / largest * SINGLE / ZERO, 0, 0
    size = abs(np.linalg.norm(got) - norm) / (scale * np.sqrt(count))
    cosine = sample @ values / (np.linalg.norm(sample) * np.linalg.norm(values))
    return size, np.abs(sample - values).max() / scale, 1 - cosine


def compare(case, ranks, expected):
    folder = train(case, ranks, train_cases.DATA)
    expected, got = dict(expected), tensors(folder, 1, "adam_m")
    total = expected.pop("loss")[1][0]
    off = abs(losses(folder)[0] - total) / abs(total)
    assert sorted(got) == sorted(expected), f"tensors {sorted(set(got) ^ set(expected))} on one side only"
    largest = max(norm / np.sqrt(count) for count, _, _, norm in expected.values())
    worst, bad = 0, []
    for name, reference in expected.items():
        e = errors(got[name], reference, largest)
        worst = max(worst, *e)
        if not max(e) < SINGLE:
            bad.append(f"{name}: size {e[0]:.1e}, elements {e[1]:.1e}, direction {e[2]:.1e}")
    if "-v" in sys.argv:
        print(f"# {case}, {ranks} ranks: gradient {worst:.1e}, loss {off:.1e}")
    assert off < SINGLE, f"the loss is off by {off:.1e} of {total:.6g}"
    assert not bad, "; ".join(bad)


def prepare():
    with h5py.File(train_cases.DATA) as f:
        write_data(path("few.h5"), f["train/images"][:train_cases.IMAGES], f["train/labels"][:train_cases.IMAGES])


def same_steps(case, folder, expected):
    if "error" in expected:
        with h5py.File(os.path.join(folder, "metrics.h5")) as f:
            step, percent = f["test/step"][:], expected["error"][1]
            error = f["test/error"][:][(step % 2 == 0) | (step == step.max())]  # two steps an epoch; one ends a run
            assert np.allclose(error, percent, 1e-6), f"test errors {error}, expected {percent}"
        averages = tensors(folder, len(expected["loss"][1]), "average")
        for name, a in averages.items():
            _, values, stride, _ = expected[f"average/{name}"]
            off = np.linalg.norm(a[::stride] - values) / np.linalg.norm(values)
            assert off < STEPS, f"average of {name} is off by {off:.1e}"
        assert len(averages) + 2 == len(expected), sorted(averages)
    got, expected = losses(folder), expected["loss"][1]
    assert len(got) == len(expected), f"{len(got)} steps, {len(expected)} expected"
    off = np.abs(got - expected) / np.abs(expected).max()
    if "-v" in sys.argv:
        print(f"# {case}: losses {' '.join(f'{e:.1e}' for e in off)}")
    assert off.max() < STEPS, f"losses {got}, expected {expected}"


def steps(case, ranks, expected):
    same_steps(f"{case}, {ranks} ranks", train(case, ranks, path("few.h5")), expected)


def resumed(case, expected):
    """After three steps on two ranks, on three: all networks, their moments, and averages, are as they were."""
    words = train_cases.words(case)
    words[words.index("--steps") + 1] = 3
    folder = path(f"{case}-resumed")
    good("train", "--data", path("few.h5"), "--out", folder, "--quiet", "--precision", "float", *words, ranks=2)
    same_steps(f"{case} resumed", train(case, 3, path("few.h5"), "--resume", name="resumed"), expected)


def main():
    cases, known = Cases(), references()
    cases.run("prepare", prepare)
    for case in train_cases.CASES:
        for ranks in ranks_of(case):
            cases.run(f"{case} np {ranks}", compare, case, ranks, known.get(case))
    for case in train_cases.RUNS:
        for ranks in ASKED or (1, 3):
            cases.run(f"{case} np {ranks}", steps, case, ranks, known.get(case))
    for case in "run-prior", "run-average":
        cases.run(f"{case} resumed", resumed, case, known[case])
    cases.end()


if __name__ == "__main__":
    main()
