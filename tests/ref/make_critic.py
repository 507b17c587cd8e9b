#!/usr/bin/env python3
"""Writes critic.txt beside itself: PyTorch's values for tests/test_critic.c, computed in double precision.

Needs torch (made with 2.13.0) and numpy. Samples, directions and weights come from a formula that the test repeats to
the last bit (ref_value in tests/ref.h)."""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

import make_score

torch.set_default_dtype(torch.float64)
M, D, HIDDEN, OUT, SHIFT = 6, 3, 8, 4, 2
X, Y, DY, PARAMS = 1, 2, 3, 4  # salts of the formula


def value(n, salt):
    return torch.tensor(make_score.value(np.arange(n), salt))


def write(out, name, a):
    a = a.detach().numpy().ravel()
    out.write(f"{name} {a.size} {a.size} 1 {np.linalg.norm(a):.9g}\n" + " ".join(f"{v:.9g}" for v in a) + "\n")


def network(flat, at, width, last):
    """x -> layers' output, with consecutive pieces of the flat vector; and where the next network begins."""
    pieces = []
    for n, m in ((width, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, last)):
        pieces.append((flat[at:at + n * m].reshape(m, n), flat[at + n * m:at + n * m + m]))
        at += n * m + m

    def f(x):
        for k, (w, b) in enumerate(pieces):
            x = F.linear(x, w, b)
            x = F.relu(x) if k < 2 else x
        return x
    return f, at


def critic(joint, flat):
    """(x, y) -> f of the positives and of the negatives."""
    if joint:
        f, _ = network(flat, 0, 2 * D, 1)
        return lambda x, y: (f(torch.cat([x, y], 1)).ravel(), f(torch.cat([x, y.roll(-SHIFT, 0)], 1)).ravel())
    g, at = network(flat, 0, D, OUT)
    h, _ = network(flat, at, D, OUT)

    def pairs(x, y):
        all_pairs = g(x) @ h(y).T
        return all_pairs.diagonal(), all_pairs
    return pairs


def parameters(joint):
    def count(width, last):
        return width * HIDDEN + HIDDEN + HIDDEN * HIDDEN + HIDDEN + HIDDEN * last + last
    return count(2 * D, 1) if joint else 2 * count(D, OUT)


def case(out, joint, kind):
    flat = (2 * value(parameters(joint), PARAMS)).requires_grad_()
    x, dy = 3 * value(M * D, X).reshape(M, D), 2 * value(M * D, DY).reshape(M, D)
    y = (3 * value(M * D, Y).reshape(M, D)).requires_grad_()
    positive, negative = critic(joint, flat)(x, y)
    if kind == "infonce":
        mean_exp = torch.log(torch.exp(negative).mean(1)).mean()
    else:
        negative = negative if joint else negative[~torch.eye(M, dtype=bool)]
        mean_exp = torch.exp(negative - 1).mean() if kind == "nwj" else torch.log(torch.exp(negative).mean())
    bound = positive.mean() - mean_exp
    bound.backward()
    name = ("joint_" if joint else "separable_") + kind
    write(out, f"{name}/bound", bound.reshape(1))
    write(out, f"{name}/grad", -flat.grad)
    write(out, f"{name}/along", (y.grad * dy).sum().reshape(1))


with open(pathlib.Path(__file__).with_name("critic.txt"), "w", encoding="ascii") as f:
    for j in 0, 1:
        for bound in "dv", "nwj":
            case(f, j, bound)
    case(f, 0, "infonce")
