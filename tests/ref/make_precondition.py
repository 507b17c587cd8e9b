#!/usr/bin/env python3
"""Writes precondition.txt beside itself: the maps of the preconditioners and what becomes of the gradient of mutual
information, step by step in NumPy.

Samples come from formulas that tests/test_precondition.c evaluates too, to the last bit; keep the two alike."""
import os
from statistics import NormalDist

import numpy as np

from make_score import estimate, gauss, record

SURPRISE, BASIS = 3, 8


def quantiles(M):
    return np.array([NormalDist().inv_cdf((m + 0.5) / M) for m in range(M)])


def samples(kind, M, D, salt):
    x = gauss(M * D, salt).reshape(M, D)
    if kind == "cubes":
        x = x * x * x
    if kind == "mixed":  # cubes, every dimension a sum of its neighbours'
        x = x * x * x
        x = x + 0.5 * np.roll(x, 1, axis=1)
    if kind == "ties":
        x = np.rint(x)
        x[:, 1] = 7
    if kind == "some":  # only the first dimension is not normal
        x[:, 0] = x[:, 0] * x[:, 0]
    return x


def distance(x):
    """Shapiro and Francia's W', normalised (Royston 1993)."""
    M, q = len(x), quantiles(len(x))
    x = np.sort(x) - x.mean()
    if M < 8 or not x.any():
        return -np.inf
    rest = max(1 - (x @ q) ** 2 / ((x @ x) * (q @ q)), 1e-16)
    u, v = np.log(M), np.log(np.log(M))
    return (np.log(rest) + 1.2725 - 1.0521 * (v - u)) / (1.0308 - 0.26758 * (v + 2 / u))


def normal_scores(x, most):
    """t and slopes of one dimension."""
    M, q = len(x), quantiles(len(x))
    if x.max() == x.min():
        return x, np.ones(M)
    if not distance(x) > most:
        return (x - x.mean()) / x.std(), np.full(M, 1 / x.std())
    order = np.argsort(x, kind="stable")
    sorted_x, t, slope = x[order], np.empty(M), np.empty(M)
    for i in range(M):
        tied = np.flatnonzero(sorted_x == sorted_x[i])
        middle, n = (tied[0] + tied[-1]) // 2, min(max(4, 2 * int(np.floor(0.6 * np.cbrt(M) + 0.5))), M - 1)
        while True:
            lo = min(max(middle - n // 2, 0), M - 1 - n)
            gap = sorted_x[lo + n] - sorted_x[lo]
            if gap > 0:
                break
            n = 2 * n if n < M // 2 else M - 1
        t[order[i]] = q[tied].mean()
        slope[order[i]] = (1 - 1 / n if n > 1 else 1) * (q[lo + n] - q[lo]) / gap
    return t, slope


def whitening(xc):
    M, D = xc.shape
    C = xc.T @ xc / M
    variance = np.diag(C)
    scale = np.where(variance > 0, 1 / np.sqrt(np.where(variance > 0, variance, 1)), 1)
    R = C * np.outer(scale, scale)
    np.fill_diagonal(R, 1)
    lam, V = np.linalg.eigh(R)
    if lam[0] < 1e-9:
        lam, V = np.linalg.eigh(0.95 * R + 0.05 * np.eye(D))
    return V @ np.diag(lam**-0.5) @ V.T * scale


def rotation(z):
    """FastICA, symmetric, contrast -exp(-y^2/2), from the identity."""
    M, D = z.shape
    W = np.eye(D)
    for _ in range(200):
        y = z @ W.T
        e = np.exp(-y * y / 2)
        N = (y * e).T @ z / M - np.diag(((1 - y * y) * e).mean(0)) @ W
        U, _, V = np.linalg.svd(N)
        turned = (1 - np.abs((U @ V * W).sum(1))).max()
        W = U @ V
        if turned <= 1e-8:
            break
    return W


def score_of(y):
    """The score of one component as far as y and tanh(2^k y) give it, and kappa."""
    a = 2.0 ** np.arange(BASIS - 1)[:, None]
    b = np.vstack([y, np.tanh(a * y)])
    slope = np.concatenate([[1], (a * (1 - b[1:] ** 2)).mean(1)])
    gram = b @ b.T / len(y)
    w = np.linalg.solve(gram + 1e-6 * np.diag(np.diag(gram)), slope)
    return w @ b, w @ slope


def refined(z, W, shaped):
    M, D = z.shape
    for _ in range(30):
        y = z @ W.T
        deviation = np.sqrt((y * y).mean(0))
        y, W = y / deviation, W / deviation[:, None]
        psi, kappa = y.copy(), np.ones(D)
        for i in np.flatnonzero(shaped):
            psi[:, i], kappa[i] = score_of(y[:, i])
        H, E = psi.T @ y / M, np.zeros((D, D))
        for i in range(D):
            for j in range(D):
                det = kappa[i] * kappa[j] - 1
                if i != j:
                    E[i, j] = (H[i, j] + H[j, i]) / 4 if det < 1e-3 else (kappa[j] * H[i, j] - H[j, i]) / det
        largest = np.abs(E).max()
        W = W - min(1, 0.3 / max(largest, 1e-300)) * E @ W
        if largest <= 1e-6:
            break
    return W


def each_dimension(x, most):
    pairs = [normal_scores(x[:, d], most) for d in range(x.shape[1])]
    return np.stack([p[0] for p in pairs], 1), np.stack([p[1] for p in pairs], 1)


def fit(kind, x):
    """t, and the function that pulls a gradient back; for ica whether components were found."""
    M, D = x.shape
    xc = x - x.mean(0)
    if kind == "normal-scores":
        t, slope = each_dimension(x, SURPRISE)
        return t, lambda g: g * slope, 0
    if kind == "whiten":
        A = whitening(xc)
        return xc @ A.T, lambda g: g @ A, 0
    if M // 3 >= D:
        A = whitening(xc)
        z = xc @ A.T
        W = rotation(z)
        noise = max(4, 1.5 * np.log2(D) - 1.1)
        before, after = [np.array([distance(y) for y in a.T]) for a in (xc, z @ W.T)]
        shaped = after > noise
        if after[shaped].sum() > 1.1 * before[before > SURPRISE].sum():
            A = refined(z, W, shaped) @ A
            t, slope = each_dimension(xc @ A.T, noise)
            return t, lambda g: (g * slope) @ A, 1
    t, slope = each_dimension(x, SURPRISE)
    A = whitening(t - t.mean(0))
    return (t - t.mean(0)) @ A.T, lambda g: (g @ A) * slope, 0


def radial(s, t, p):
    """Adds the fields that make Stein's identity hold for them: written out as arrays [M][D]."""
    D = t.shape[1]

    def dot(a, b):
        return (a * b).sum(1, keepdims=True)

    fields = [(t, 0 * dot(t, t) + D), (dot(t, t) * t, (D + 2) * dot(t, t))]
    if p is not None:
        fields += [(p, 0 * dot(t, t)), (dot(p, p) * t, D * dot(p, p)), (dot(p, t) * t, (D + 1) * dot(p, t))]
        fields += [(dot(t, t) * p, 2 * dot(p, t)), (dot(p, p) * p, 0 * dot(p, p)), (dot(p, t) * p, dot(p, p))]
    F = np.array([f.ravel() for f, _ in fields])
    G, r = F @ F.T, np.array([(f * s).sum() + v.sum() for f, v in fields])
    G = G + 1e-9 * np.diag(np.diag(G))
    return s - (np.linalg.solve(G, r) @ F).reshape(s.shape)


def gradient(kind, x, z):
    """dI(x;z)/dz, iterated Tikhonov, calibrated by Stein's identity."""
    M, dx = x.shape
    tx, tz, pull = x, z, lambda g: g
    if kind != "none":
        tx, (tz, pull) = fit(kind, x)[0], fit(kind, z)[:2]
    options = {"eta": 0.01, "iterations": 3, "calibrate": "stein"}
    none = np.zeros((1, z.shape[1]))
    joint = np.hstack([tx, tz])
    marginal = estimate(tz, none, **options)[2]
    joint = estimate(joint, np.zeros((1, joint.shape[1])), **options)[2][:, dx:]
    if kind == "ica":
        marginal, joint = radial(marginal, tz, None), radial(joint, tz, tx @ (tz.T @ tx / M).T)
    return pull((joint - marginal) / M)


# name, kind of samples, M, D
CASES = [
    ("normal", "gauss", 60, 3),
    ("cubes", "cubes", 80, 3),
    ("mixed", "mixed", 130, 3),
    ("ties", "ties", 61, 3),
    ("some", "some", 75, 2),
    ("few", "cubes", 11, 5),
    ("wide", "gauss", 6, 9),
    ("line", "cubes", 40, 1),
]


def main():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "precondition.txt"), "w") as out:
        for salt, (name, kind, M, D) in enumerate(CASES, 1):
            x = samples(kind, M, D, salt)
            g = gauss(M * D, 50 + salt).reshape(M, D)
            for precondition in ("whiten", "normal-scores", "ica"):
                t, pull, found = fit(precondition, x)
                record(out, f"{name}.{precondition}.t", t)
                record(out, f"{name}.{precondition}.pull", pull(g))
                if precondition == "ica":
                    print(f"{name}: components {'found' if found else 'not found'}, distances",
                          np.round([distance(x[:, d]) for d in range(D)], 1))
        x, w = gauss(300, 71).reshape(100, 3), gauss(300, 72).reshape(100, 3) + gauss(300, 71).reshape(100, 3)
        x, w = x * x * x, w * w * w
        z = w + 0.5 * np.roll(w, 1, axis=1)
        h = x + gauss(200, 73).reshape(100, 2)[:, [0, 1, 1]] * w
        for precondition in ("none", "whiten", "normal-scores", "ica"):
            record(out, f"mi.{precondition}", gradient(precondition, x, z))
            record(out, f"mi.{precondition}.x", gradient(precondition, z, x))
            record(out, f"mi.{precondition}.sum", gradient(precondition, x, z) + gradient(precondition, h, z))
            record(out, f"mi.{precondition}.h", gradient(precondition, z, h))


if __name__ == "__main__":
    main()
