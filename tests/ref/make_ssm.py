#!/usr/bin/env python3
"""Writes ssm.txt beside itself, for tests/test_ssm.c: PyTorch's values of the sliced objective, its gradient and the
scores of a small network, from the definition (whole Jacobians, double precision), and how far from the true scores
PyTorch gets when it trains the same network on the same samples with random numbers of its own.

Needs torch (made with 2.13.0) and numpy; a minute. Samples and parameters come from formulas that the test repeats."""
import math
import pathlib

import numpy as np
import torch

from make_score import value

torch.manual_seed(1)
torch.set_num_threads(1)


def f(z):
    return (z + torch.sqrt(z * z + 1)) / 2


def shapes(D, H):
    return [(H, D), (H,), (H, H), (H,), (D, H), (D,), (D, D)]


def score(p, A, x):
    W1, b1, W2, b2, W3, b3, R = p
    return f(f(x @ W1.T + b1) @ W2.T + b2) @ W3.T + b3 - x @ (A + R).T


def fixed(out):
    D, H, M = 3, 5, 6
    sizes = [math.prod(s) for s in shapes(D, H)]
    flat = torch.tensor(value(np.arange(sum(sizes)), 1)).requires_grad_()
    p = [t.reshape(s) for t, s in zip(flat.split(sizes), shapes(D, H))]
    A = torch.tensor(value(np.arange(D * D), 2)).reshape(D, D)
    x = torch.tensor(3 * value(np.arange(M * D), 3)).reshape(M, D)
    v = torch.tensor(2 * value(np.arange(M * D), 4)).reshape(M, D)
    s = score(p, A, x)
    J = torch.vmap(torch.func.jacrev(lambda q: score(p, A, q)))(x)
    objective = (torch.einsum("mi,mij,mj->m", v, J, v) + (s * s).sum(1) / 2).mean()
    (gradient,) = torch.autograd.grad(objective, flat)
    for name, t in ("scores", s), ("objective", objective), ("gradient", gradient):
        out(name, t)


def samples(kind, M):
    """Four dimensions: x = L z, and for `bent` x_1 += (x_0^2 - 1) / 2, x_3 += (x_2^2 - 1) / 2; and the true scores."""
    u, w = (value(np.arange(4 * M), salt).reshape(M, 4) + 0.5 + 2.0**-25 for salt in (5, 6))
    z = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * w)
    L = np.array([[1, 0, 0, 0], [0.5, 1, 0, 0], [0, -0.5, 1, 0], [0.25, 0, 0.5, 2]])
    x = z @ L.T
    s = -z @ np.linalg.inv(L)
    if kind == "bent":
        y, t = x.copy(), s.copy()
        for a in 0, 2:
            y[:, a + 1] += (x[:, a] ** 2 - 1) / 2
            t[:, a] -= x[:, a] * s[:, a + 1]
        x, s = y, t
    return x, s


def train(kind, M, H=64, steps=2000, rate=1e-3, batch=256, slices=4):
    x, true = samples(kind, M)
    X = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)[torch.randperm(M)]
    D, held = 4, M // 7
    rest = X[held:]
    inverse = lambda Y: torch.linalg.inv(Y.double().T @ Y.double() / len(Y)).float()
    A = inverse(rest)
    p = [torch.empty(s).uniform_(-1, 1) / math.sqrt(D if i < 2 else H) for i, s in enumerate(shapes(D, H))]
    for t in p[4:]:
        t.zero_()
    for t in p:
        t.requires_grad_()

    def objective(y, v):
        y = y.clone().requires_grad_()
        s = score(p, A, y)
        (vJ,) = torch.autograd.grad((s * v).sum(), y, create_graph=True)
        return (vJ * v).sum(1) + (s * s).sum(1) / 2

    sign = lambda n: torch.randint(0, 2, (n, D)) * 2.0 - 1
    fixed_v, adam = sign(held * slices), torch.optim.Adam(p, lr=rate)
    at, best, before = 0, [q.detach().clone() for q in p], None
    for t in range(steps + 1):
        if t % 20 == 0:
            now = objective(X[:held].repeat(slices, 1), fixed_v).detach().reshape(slices, held).mean(0)
            if before is None:
                before = least = now
            gain = before - now
            if now.mean() < least.mean() and gain.mean() > gain.std() / math.sqrt(held):
                least, at, best = now, t, [q.detach().clone() for q in p]
            elif t - at > steps / 4:
                break
        adam.zero_grad()
        objective(rest[torch.randint(len(rest), (batch,))], sign(batch)).mean().backward()
        adam.step()
    s = score(best, inverse(X), torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32))
    s = s.double().numpy() / x.std(0)
    print(kind, "best at step", at, "error", np.linalg.norm(s - true) / np.linalg.norm(true))
    return torch.tensor(np.linalg.norm(s - true) / np.linalg.norm(true))


with open(pathlib.Path(__file__).with_name("ssm.txt"), "w") as file:

    def out(name, t):
        a = t.detach().double().numpy().ravel()
        print(name, a.size, a.size, 1, "%.17g" % np.linalg.norm(a), file=file)
        print(" ".join("%.17g" % q for q in a), file=file)

    fixed(out)
    for kind in "gauss", "bent":
        out("error." + kind, train(kind, 2048))
