#!/usr/bin/env python3
"""The gradient of every parameter, as the optimiser gets it, is that of an independent computation: tests/ref/train.txt,
which make_train.py wrote with PyTorch. With beta1 = 0 Adam's first moment in the checkpoint is the gradient itself.

  tests/test_gradient.py [-v] [CASE...]    -v prints the largest errors"""
import os
import sys

import h5py
import numpy as np

from program import Cases, good, path

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "ref"))
import train_cases  # noqa: E402 (it is where the references are)

SINGLE = 1e-4  # of a tensor's root mean square: what is left of single precision behind some layers
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


def loss(folder):
    with h5py.File(os.path.join(folder, "metrics.h5")) as f:
        return f["train/loss"][0]


def errors(got, reference, floor):
    """In size and in each stored element, relative to the tensor's root mean square; and in direction, 1 - cosine."""
    count, values, stride, norm = reference
    assert got.size == count, f"{got.size} elements, {count} expected"
    scale = max(norm / np.sqrt(count), floor)
    sample = got[::stride]
    size = abs(np.linalg.norm(got) - norm) / (scale * np.sqrt(count))
    cosine = sample @ values / (np.linalg.norm(sample) * np.linalg.norm(values) + 1e-300)
    return size, np.abs(sample - values).max() / scale, 0 if norm / np.sqrt(count) < floor else 1 - cosine


def compare(case, ranks, expected):
    folder = path(f"{case}-{ranks}")
    good("train", "--data", train_cases.DATA, "--out", folder, "--quiet", *train_cases.words(case), ranks=ranks)
    expected, got = dict(expected), moments(folder)
    total = expected.pop("loss")[1][0]
    off = abs(loss(folder) - total) / abs(total)
    assert sorted(got) == sorted(expected), f"tensors {sorted(set(got) ^ set(expected))} on one side only"
    # What is zero of itself, as a bias in front of a batch norm, has rounding only: against the largest.
    floor = 1e-6 * max(norm / np.sqrt(count) for count, _, _, norm in expected.values())
    worst, bad = 0, []
    for name, reference in expected.items():
        e = errors(got[name], reference, floor)
        worst = max(worst, *e)
        if not max(e) < SINGLE:
            bad.append(f"{name}: size {e[0]:.1e}, elements {e[1]:.1e}, direction {e[2]:.1e}")
    if "-v" in sys.argv:
        print(f"# {case}, {ranks} ranks: gradient {worst:.1e}, loss {off:.1e}")
    assert off < SINGLE, f"the loss is off by {off:.1e} of {total:.6g}"
    assert not bad, "; ".join(bad)


def main():
    cases, known = Cases(), references()
    for case in [a for a in sys.argv[1:] if a != "-v"] or train_cases.CASES:
        for ranks in MANY.get(case, (1, 2, 3)):
            cases.run(f"{case} np {ranks}", compare, case, ranks, known[case])
    cases.end()


if __name__ == "__main__":
    main()
