#!/usr/bin/env python3
"""The rival of `make bench`: the same work in PyTorch, at its best settings.

usage: rival.py --threads N [--problem M,D]... [--published M,D]... [--pair M]... [--tikhonov M]... [--keops M,D]... [--limit S] [--seconds S]

  --published  one score problem by the published formula: arrays of M x M x D, single precision, eigh
  --problem    the same in two matrix products (GEMM form) and eigh, double precision
  --pair       a MIGE step's two problems, 64 and 128 dimensions, one after the other, GEMM form, double
  --tikhonov   the same two by iterated Tikhonov and one Cholesky factorisation each; and tikhonov-step: of the second,
               the scores of 64 columns, which are all that a step needs
  --keops      one problem by iterated Tikhonov, the matrix never stored: pykeops, once, given up after S whole seconds (>S)

Prints one line `NAME seconds` each: the median over repetitions that fill S seconds, after one to warm up.
"""
import argparse
import signal
import statistics
import time

import torch


def median_time(work, seconds):
    work()
    times, began = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - began < seconds and len(times) < 200):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def time_within(work, limit):
    """Seconds of one go, or that they were more than the limit."""
    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    start = time.perf_counter()
    try:
        work()
    except TimeoutError:
        return f">{limit}"
    signal.alarm(0)
    return f"{time.perf_counter() - start:.6f}"


def width_of(distances):
    flat = distances.flatten()
    return flat.kthvalue(flat.numel() // 2 + 1).values


def leading(eigenvalues, threshold, count):
    share = eigenvalues.flip(0).cumsum(0) / count
    return max(1, int((share < threshold).sum()))


def published(x, threshold=0.99):
    """The formula as it was published: kernel gradients as an M x M x D array."""
    count = x.shape[0]
    difference = x.unsqueeze(1) - x.unsqueeze(0)
    distances = difference.square().sum(-1).sqrt()
    width = width_of(distances)
    kernel = torch.exp(-distances.square() / (2 * width**2))
    gradient = -difference / width**2 * kernel.unsqueeze(-1)
    eigenvalues, vectors = torch.linalg.eigh(kernel)
    j = leading(eigenvalues, threshold, count)
    lam, u = eigenvalues[-j:], vectors[:, -j:]
    beta = -(u.T @ gradient.sum(0)) / lam.unsqueeze(1)
    return (kernel @ u / lam) @ beta


def gemm_form(x, threshold=0.99):
    count = x.shape[0]
    distances = torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist")
    width = width_of(distances)
    kernel = torch.exp(-distances.square() / (2 * width**2))
    b = (kernel.sum(1, keepdim=True) * x - kernel @ x) / width**2
    eigenvalues, vectors = torch.linalg.eigh(kernel)
    j = leading(eigenvalues, threshold, count)
    lam, u = eigenvalues[-j:], vectors[:, -j:]
    return -(u / lam) @ (u.T @ b)


def tikhonov(x, first=0, eta=0.01, iterations=3):
    """Scores, of the columns from `first` on."""
    distances = torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist")
    width = width_of(distances)
    kernel = torch.exp(-distances.square() / (2 * width**2))
    wanted = x[:, first:]
    z = (kernel.sum(1, keepdim=True) * wanted - kernel @ wanted) / width**2
    kernel.diagonal().add_(eta)
    factor = torch.linalg.cholesky(kernel)
    scores = torch.zeros_like(wanted)
    for _ in range(iterations):
        z = torch.cholesky_solve(z, factor)
        scores -= z
        z *= eta
    return scores


def keops(x, eta=0.01, tolerance=1e-8, iterations=3):
    """Iterated Tikhonov without the matrix: KeOps' products of kernels and its conjugate gradients, double."""
    from pykeops.torch import Genred, KernelSolve
    count, dim = x.shape
    sample = x[torch.randperm(count)[:4096]]
    scale = (0.5 / width_of(torch.cdist(sample, sample)) ** 2).reshape(1)
    variables = ["s = Pm(0, 1)", f"x = Vi(1, {dim})", f"y = Vj(2, {dim})", f"b = Vj(3, {dim})"]
    formula = "Exp(-s * SqDist(x, y)) * b"
    ones = Genred("Exp(-s * SqDist(x, y))", variables[:3], reduction_op="Sum", axis=1)
    product = Genred(formula, variables, reduction_op="Sum", axis=1)
    solve = KernelSolve(formula, variables, "b", axis=1)

    def scores():
        z = 2 * scale * (ones(scale, x, x) * x - product(scale, x, x, x))
        total = torch.zeros_like(x)
        for _ in range(iterations):
            # It stops where the residual's root mean square is below eps.
            z = solve(scale, x, x, z, alpha=eta, eps=tolerance * z.square().mean().sqrt().item())
            total -= z
            z = eta * z
        return total

    return scores


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--threads", type=int, default=2)
    parse.add_argument("--published", action="append", default=[])
    parse.add_argument("--problem", action="append", default=[])
    parse.add_argument("--pair", type=int, action="append", default=[])
    parse.add_argument("--tikhonov", type=int, action="append", default=[])
    parse.add_argument("--keops", action="append", default=[])
    parse.add_argument("--limit", type=int, default=120)
    parse.add_argument("--seconds", type=float, default=3)
    asked = parse.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(1)
    for name, work, kind in (("published", published, torch.float32), ("problem", gemm_form, torch.float64)):
        for size in getattr(asked, name):
            m, d = map(int, size.split(","))
            x = torch.randn(m, d, dtype=kind)
            print(f"{name}-{m}-{d} {median_time(lambda: work(x), asked.seconds):.6f}", flush=True)
    for name, asked_for, work in (("pair", asked.pair, lambda x, y: (gemm_form(x), gemm_form(y))),
                                  ("tikhonov", asked.tikhonov, lambda x, y: (tikhonov(x), tikhonov(y))),
                                  ("tikhonov-step", asked.tikhonov, lambda x, y: (tikhonov(x), tikhonov(y, 64)))):
        for m in asked_for:
            x, y = torch.randn(m, 64, dtype=torch.float64), torch.randn(m, 128, dtype=torch.float64)
            print(f"{name}-{m} {median_time(lambda: work(x, y), asked.seconds):.6f}", flush=True)
    for size in asked.keops:
        m, d = map(int, size.split(","))
        keops(torch.randn(256, d, dtype=torch.float64))()  # compiles, which is not counted
        print(f"keops-{m}-{d} {time_within(keops(torch.randn(m, d, dtype=torch.float64)), asked.limit)}", flush=True)


if __name__ == "__main__":
    main()
