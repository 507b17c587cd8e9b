#!/usr/bin/env python3
"""The gradient of every parameter, as the optimiser gets it, is that of an independent computation: tests/ref/train.txt,
which make_train.py wrote with PyTorch. With beta1 = 0 Adam's first moment in the checkpoint is the gradient itself. And
the losses of some steps, over the end of an epoch.

  tests/test_gradient.py [-v] [CASE...]    CASE: "I", or "I np 2"; -v prints the largest errors"""
import os
import sys

import h5py
import numpy as np

from program import Cases, good, path, write_data

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "ref"))
import train_cases  # noqa: E402 (it is where the references are)

SINGLE = 1e-4  # of a tensor's root mean square: what is left of single precision behind some layers
ZERO = 1e-5  # of the largest one's: what is 0 of itself, as a bias in front of a batch norm, is so up to rounding
STEPS = 1e-3  # of a loss, after steps in which Adam makes much of what is near zero
MANY = {"I": (1, 2, 3, 4), "I+II": (1, 2, 3, 4)}  # on how many ranks, where not on 1, 2, 3


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


def moments(folder):
    """{"member/tensor": values}; the first files knew one member."""
    with h5py.File(os.path.join(folder, "checkpoint-1.h5")) as f:
        found = {}
        for name, a in f["adam_m"].items():
            if isinstance(a, h5py.Dataset):
                found[f"encoder/{name}"] = a[:].astype(float).ravel()
            else:
                found.update({f"{name}/{t}": a[t][:].astype(float).ravel() for t in a})
        return found


def losses(folder):
    with h5py.File(os.path.join(folder, "metrics.h5")) as f:
        return f["train/loss"][:]


def train(case, ranks, data):
    folder = path(f"{case}-{ranks}")
    good("train", "--data", data, "--out", folder, "--quiet", *train_cases.words(case), ranks=ranks)
    return folder


def errors(got, reference, largest):
    """In size and in each stored element, relative to the tensor's root mean square; and in direction, 1 - cosine."""
    count, values, stride, norm = reference
    assert got.size == count, f"{got.size} elements, {count} expected"
    scale, sample = norm / np.sqrt(count), got[::stride]
    if scale < 1e-6 * largest:
        return np.abs(got).max() / largest * SINGLE / ZERO, 0, 0
    size = abs(np.linalg.norm(got) / norm - 1)
    cosine = sample @ values / (np.linalg.norm(sample) * np.linalg.norm(values))
    return size, np.abs(sample - values).max() / scale, 1 - cosine


def compare(case, ranks, expected):
    folder = train(case, ranks, train_cases.DATA)
    expected, got = dict(expected), moments(folder)
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


def steps(case, ranks, expected):
    got, expected = losses(train(case, ranks, path("few.h5"))), expected["loss"][1]
    assert len(got) == len(expected), f"{len(got)} steps, {len(expected)} expected"
    off = np.abs(got - expected) / np.abs(expected).max()
    if "-v" in sys.argv:
        print(f"# {case}, {ranks} ranks: losses {' '.join(f'{e:.1e}' for e in off)}")
    assert off.max() < STEPS, f"losses {got}, expected {expected}"


def main():
    cases, known = Cases(), references()
    cases.run("prepare", prepare)
    for case in train_cases.CASES:
        for ranks in MANY.get(case, (1, 2, 3)):
            cases.run(f"{case} np {ranks}", compare, case, ranks, known[case])
    for case in train_cases.RUNS:
        for ranks in 1, 3:
            cases.run(f"{case} np {ranks}", steps, case, ranks, known[case])
    cases.end()


if __name__ == "__main__":
    main()
