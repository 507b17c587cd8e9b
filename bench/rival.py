#!/usr/bin/env python3
"""The rival of `make bench`: the same work in PyTorch, at its best settings.

usage: rival.py --threads N [--problem M,D]... [--published M,D]... [--pair M]... [--tikhonov M]... [--train BATCH] [--seconds S]

  --published  one score problem by the published formula: arrays of M x M x D, single precision, eigh
  --problem    the same in two matrix products (GEMM form) and eigh, double precision
  --pair       a MIGE step's two problems, 64 and 128 dimensions, one after the other, GEMM form, double
  --tikhonov   the same two by iterated Tikhonov and one Cholesky factorisation each
  --train      encoder, MIGE (GEMM form, double) and Adam on images of CIFAR-10's shape, channels last

Prints one line `NAME seconds` each: the median over repetitions that fill S seconds, after one to warm up.
"""
import argparse
import statistics
import time

import torch
from torch import nn


def median_time(work, seconds):
    work()
    times, began = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - began < seconds and len(times) < 200):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


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


def tikhonov(x, eta=0.01, iterations=3):
    distances = torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist")
    width = width_of(distances)
    kernel = torch.exp(-distances.square() / (2 * width**2))
    z = (kernel.sum(1, keepdim=True) * x - kernel @ x) / width**2
    kernel.diagonal().add_(eta)
    factor = torch.linalg.cholesky(kernel)
    scores = torch.zeros_like(x)
    for _ in range(iterations):
        z = torch.cholesky_solve(z, factor)
        scores -= z
        z *= eta
    return scores


def encoder():
    layers, channels = [], 3
    for out in (64, 128, 256):
        layers += [nn.Conv2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    layers += [nn.Flatten(), nn.Linear(4096, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(), nn.Linear(1024, 64)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def training_step(batch):
    net = encoder()
    adam = torch.optim.Adam(net.parameters(), 1e-4, (0.5, 0.999), fused=True)
    pixels = torch.randint(0, 256, (4 * batch, 3, 32, 32), dtype=torch.uint8)
    projection = torch.randn(64, 3072)
    projection /= projection.norm(dim=0)

    def step():
        x = pixels[torch.randperm(4 * batch)[:batch]].float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        z = net(x)
        with torch.no_grad():
            zd = z.double()
            xd = (x.flatten(1) @ projection.T).double()
            upstream = (gemm_form(zd) - gemm_form(torch.cat([xd, zd], 1))[:, 64:]) / batch
        adam.zero_grad(set_to_none=True)
        z.backward(upstream.float())
        adam.step()

    return step


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--threads", type=int, default=2)
    parse.add_argument("--published", action="append", default=[])
    parse.add_argument("--problem", action="append", default=[])
    parse.add_argument("--pair", type=int, action="append", default=[])
    parse.add_argument("--tikhonov", type=int, action="append", default=[])
    parse.add_argument("--train", type=int)
    parse.add_argument("--seconds", type=float, default=3)
    asked = parse.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(1)
    for name, work, kind in (("published", published, torch.float32), ("problem", gemm_form, torch.float64)):
        for size in getattr(asked, name):
            m, d = map(int, size.split(","))
            x = torch.randn(m, d, dtype=kind)
            print(f"{name}-{m}-{d} {median_time(lambda: work(x), asked.seconds):.6f}", flush=True)
    for name, work in (("pair", gemm_form), ("tikhonov", tikhonov)):
        for m in getattr(asked, name):
            x, y = torch.randn(m, 64, dtype=torch.float64), torch.randn(m, 128, dtype=torch.float64)
            print(f"{name}-{m} {median_time(lambda: (work(x), work(y)), asked.seconds):.6f}", flush=True)
    if asked.train:
        print(f"train-{asked.train} {median_time(training_step(asked.train), asked.seconds):.6f}", flush=True)


if __name__ == "__main__":
    main()
