#!/usr/bin/env python3
"""Writes score.txt beside itself: scores by the Spectral Stein Gradient Estimator, straight from its definition (Shi,
Sun, Zhu 2018) with arrays of M x M x D, where the program has two matrix products.

    psi_j(x) = sqrt(M)/lambda_j sum_n u_nj k(x, x_n),  beta_j = -(1/M) sum_m grad psi_j(x_m)
    s(x) = sum_j beta_j psi_j(x)

Also by iterated Tikhonov regularisation, step by step, and scores made to satisfy Stein's identity E[s (x - mu)'] = -I.

Samples come from a formula that tests/samples.h evaluates too, to the last bit; keep the two alike."""
import os

import numpy as np


def value(i, salt):
    """ref_value of tests/ref.h: uniform in [-0.5, 0.5), a multiple of 2^-24."""
    with np.errstate(over="ignore"):
        h = np.asarray(i, np.uint32) * np.uint32(2654435761) + np.uint32(salt) * np.uint32(2246822519)
        h = (h ^ h >> np.uint32(16)) * np.uint32(0x85EBCA6B)
        h = (h ^ h >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(float) * 2.0**-24 - 0.5


def gauss(n, salt):
    """Nearly normal: a sum of twelve uniform numbers, exact in double precision."""
    return value(np.arange(12 * n), salt).reshape(n, 12).sum(1)


def samples(kind, M, D, salt):
    x = gauss(M * D, salt).reshape(M, D)
    if kind == "crooked":  # skewed, heavy tails, dimensions that depend on each other
        for d in range(1, D):
            x[:, d] = x[:, d] * 0.5 + x[:, d - 1] * x[:, d - 1] * 0.25 * (d % 2 + 1)
    if kind == "outlier":
        x[M // 2] = 1e8
    if kind == "flat":
        x[:, D // 2] = 3.25
    if kind == "twins":
        x[M // 2 :] = x[: M - M // 2]
    if kind == "fill":  # a value that stands for a missing one
        x[::7, 0] = 1e20
    if kind == "remote":  # a second cluster
        x[::7] += 2.0**28
    return x


def median(distance):
    return np.sort(distance.ravel())[distance.size // 2]


def ssge(x, points, K, k_points, w, threshold=0.99, eigen=0):
    M, D = x.shape
    lam, U = np.linalg.eigh(K)
    lam, U = lam[::-1], U[:, ::-1]
    share = np.cumsum(lam) / M
    J = eigen if eigen else max(1, int((share < threshold).sum()))
    J = max(1, int((lam[:J] >= 1e-10 * lam[0]).sum()))
    grad_k = -(x[:, None, :] - x[None, :, :]) / w**2 * K[:, :, None]  # [m, n, d]: d k(x_m, x_n) / d x_m
    scores, scores_points = np.zeros((M, D)), np.zeros(points.shape)
    for j in range(J):
        grad_psi = np.sqrt(M) / lam[j] * np.einsum("n,mnd->md", U[:, j], grad_k)
        beta = -grad_psi.mean(0)
        scores += np.outer(np.sqrt(M) / lam[j] * (K @ U[:, j]), beta)
        scores_points += np.outer(np.sqrt(M) / lam[j] * (k_points @ U[:, j]), beta)
    return lam[:J], scores, scores_points


def tikhonov(x, points, K, k_points, w, eta, iterations):
    """Y <- Y + (K + eta)^-1 (B - K Y); off the samples (K + eta)^-1 r is (r(q) - k(q, X) (K + eta)^-1 r(X)) / eta."""
    M = len(x)
    ridge = K + eta * np.eye(M)
    B = (x[:, None, :] - x[None, :, :]) * K[:, :, None] / w**2
    B = B.sum(1)
    b = ((points[:, None, :] - x[None, :, :]) * k_points[:, :, None] / w**2).sum(1)
    Y, y = np.zeros(x.shape), np.zeros(points.shape)
    for _ in range(iterations):
        rest, rest_points = B - K @ Y, b - k_points @ Y
        Y = Y + np.linalg.solve(ridge, rest)
        y = y + (rest_points - k_points @ np.linalg.solve(ridge, rest)) / eta
    return np.zeros(0), -Y, -y


def calibration(kind, x, scores):
    M, D = x.shape
    C = (x - x.mean(0)).T @ scores / M
    if kind == "scale":
        return -D / np.trace(C) * np.eye(D)
    g = 0.05 if M < 2.5 * D else 0
    return -np.linalg.inv((1 - g) * C + g * np.trace(C) / D * np.eye(D))


def estimate(x, points, width=0, scale=1, eta=0, iterations=0, calibrate=None, **eigen):
    distance = np.sqrt(((x[:, None, :] - x[None, :, :]) ** 2).sum(2))
    w = width if width else median(distance) * scale
    K = np.exp(-(distance**2) / (2 * w * w))
    k_points = np.exp(-((points[:, None, :] - x[None, :, :]) ** 2).sum(2) / (2 * w * w))
    if iterations:
        lam, scores, scores_points = tikhonov(x, points, K, k_points, w, eta, iterations)
    else:
        lam, scores, scores_points = ssge(x, points, K, k_points, w, **eigen)
    if calibrate:
        A = calibration(calibrate, x, scores)
        scores, scores_points = scores @ A, scores_points @ A
    return w, lam, scores, scores_points


# name, kind, M, D, Q, options; M not a multiple of anything, from one block to several on a grid
CASES = [
    ("gauss", "gauss", 60, 5, 7, {}),
    ("crooked", "crooked", 45, 3, 11, {"threshold": 0.95}),
    ("pairs", "gauss", 60, 5, 3, {"eigen": 10}),
    ("width", "crooked", 45, 3, 3, {"width": 1.75}),
    ("scale", "gauss", 60, 5, 3, {"scale": 1.5}),
    ("outlier", "outlier", 40, 3, 3, {}),
    ("flat", "flat", 41, 4, 3, {}),
    ("twins", "twins", 30, 2, 3, {"threshold": 0.98}),
    ("two", "gauss", 2, 3, 2, {"eigen": 2}),
    ("three", "gauss", 3, 2, 2, {}),
    ("line", "crooked", 37, 1, 2, {"threshold": 0.9}),
    ("grid", "crooked", 131, 3, 5, {"threshold": 0.97}),
    ("deep", "gauss", 139, 4, 5, {"threshold": 0.985}),
    ("li-turner", "gauss", 60, 5, 3, {"eta": 0.1, "iterations": 1}),
    ("tikhonov", "crooked", 131, 3, 5, {"eta": 0.01, "iterations": 3}),
    ("factor", "gauss", 60, 5, 3, {"calibrate": "scale"}),
    ("identity", "crooked", 47, 4, 3, {"calibrate": "stein"}),
    ("few", "gauss", 13, 6, 3, {"calibrate": "stein"}),
    ("both", "crooked", 43, 3, 3, {"eta": 0.02, "iterations": 2, "calibrate": "stein"}),
    ("fill", "fill", 131, 4, 5, {}),
    ("fill-tikhonov", "fill", 131, 4, 5, {"eta": 0.01, "iterations": 3}),
    ("remote", "remote", 61, 3, 5, {}),
    ("remote-tikhonov", "remote", 61, 3, 5, {"eta": 0.01, "iterations": 3}),
]


def record(out, name, a):
    a = np.asarray(a, float).ravel()
    print(name, a.size, a.size, 1, repr(float(np.linalg.norm(a))), file=out)
    print(*(repr(float(v)) for v in a), file=out)


def main():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "score.txt"), "w") as out:
        for salt, (name, kind, M, D, Q, options) in enumerate(CASES, 1):
            x = samples(kind, M, D, salt)
            points = gauss(Q * D, 100 + salt).reshape(Q, D) * 1.25
            if kind in ("fill", "remote"):
                points[0] += x[0]
            w, lam, scores, scores_points = estimate(x, points, **options)
            record(out, f"{name}.width", [w])
            record(out, f"{name}.eigenvalues", lam)
            record(out, f"{name}.scores", scores)
            record(out, f"{name}.points", scores_points)
            print(f"{name}: width {w:.6g}, J {len(lam)} of {M}")


if __name__ == "__main__":
    main()
