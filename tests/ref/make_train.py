#!/usr/bin/env python3
"""Writes train.txt beside itself: what the optimiser must get in the first step of each training of train_cases.py, by
PyTorch's autograd in double precision, from the images and the options alone. Needs torch (made with 2.13.0).

Random numbers are Philox4x32-10 of (seed, purpose, step, index), written anew here; scores are computed from their
definition (make_score.py) and held constant; nothing of the program is used. Records are NAME/loss, the reported loss,
and NAME/MEMBER/TENSOR, the gradient of what the member minimises."""
import functools
import math
import os
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

import make_score
import train_cases

torch.set_default_dtype(torch.float64)
INIT, SHUFFLE, PROJECTION, DROPOUT = 1, 2, 3, 4
STORED = 64  # values of a tensor, at most


# ---- random numbers


def philox(seed, purpose, step, index, nth):
    """Four words of 32 bits for each element of index and nth."""
    index, nth = np.broadcast_arrays(np.asarray(index, np.uint64), np.asarray(nth, np.uint64))
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    c = [nth, index & low, (index >> shift) << np.uint64(16) | np.uint64(purpose), np.full_like(nth, step)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [b >> shift ^ c[1] ^ np.uint64(key[0]), b & low, a >> shift ^ c[3] ^ np.uint64(key[1]), a & low]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, -1)


def bits(seed, purpose, step, indices, n):
    """[indices][n]"""
    indices = np.asarray(indices)
    blocks = philox(seed, purpose, step, indices[:, None], np.arange((n + 3) // 4)[None, :])
    return blocks.reshape(len(indices), -1)[:, :n]


def uniform(seed, purpose, step, indices, n):
    return (bits(seed, purpose, step, indices, n) + 0.5) * 2.0**-32


def normal(seed, purpose, step, indices, n):
    """Box, Muller: pairs of a radius and an angle."""
    u = uniform(seed, purpose, step, indices, n + n % 2).reshape(len(indices), -1, 2)
    radius, angle = np.sqrt(-2 * np.log(u[..., 0])), 2 * math.pi * u[..., 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(len(indices), -1)[:, :n]


def permutation(seed, purpose, step, n):
    """Fisher, Yates from the end."""
    words = philox(seed, purpose, step, np.arange(n), 0).astype(object)
    p = np.arange(n)
    for i in range(n - 1, 0, -1):
        j = (words[i, 0] << 32 | words[i, 1]) % (i + 1)
        p[i], p[j] = p[j], p[i]
    return p


def single(a):
    """The nearest number that the program can hold."""
    return torch.tensor(np.asarray(a).astype(np.float32).astype(float))


# ---- networks


class Net:
    """Layers as rows (kind, name, ...), channels last. Weights begin U(-b, b), b = 1/sqrt(inputs), element i of all
    parameters in a row drawing at index i."""

    def __init__(self, shape, layers, seed, stream):
        self.layers, self.seed, self.params, self.at = layers, seed, {}, 0
        for i, (kind, name, *how) in enumerate(layers):
            if kind == "conv":
                self.draw(name, (how[0], 4, 4, shape[2]), 0, stream)
                shape = (shape[0] // 2, shape[1] // 2, how[0])
            elif kind == "linear":
                self.draw(name, (how[0], math.prod(shape)), how[1], stream)
                shape = (1, 1, how[0])
            elif kind == "norm":
                self.put(f"{name}.weight", torch.ones(shape[2]))
                self.put(f"{name}.bias", torch.zeros(shape[2]))

    def put(self, name, value):
        self.params[name] = value.clone().requires_grad_()
        self.at += value.numel()

    def draw(self, name, dims, bias, stream):
        n, bound = math.prod(dims), 1 / math.sqrt(math.prod(dims[1:]))
        count = n + dims[0] * bias
        u = uniform(self.seed, INIT, stream, np.arange(self.at, self.at + count), 1).ravel()
        w = single((2 * u - 1) * bound)
        self.put(f"{name}.weight", w[:n].reshape(dims))
        if bias:
            self.put(f"{name}.bias", w[n:])

    def __call__(self, x, step=1):
        """Every layer's output, of a training pass over all rows."""
        out = {}
        for i, (kind, name, *how) in enumerate(self.layers):
            weight, bias = self.params.get(f"{name}.weight"), self.params.get(f"{name}.bias")
            if kind == "conv":
                x = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), stride=2, padding=1)
                x = x.permute(0, 2, 3, 1)
            elif kind == "linear":
                x = F.linear(x.reshape(len(x), -1), weight, bias)
            elif kind == "norm":
                over = tuple(range(x.dim() - 1))
                centred = x - x.mean(over)
                x = F.relu(centred / torch.sqrt((centred**2).mean(over) + 1e-5) * weight + bias)
            elif kind == "relu":
                x = F.relu(x)
            elif kind == "dropout":
                index = np.arange(len(x)) * len(self.layers) + i
                kept = bits(self.seed, DROPOUT, step, index, x[0].numel()) >= int(how[0] * 2**32)
                x = x * torch.tensor(kept).reshape(x.shape) / (1 - how[0])
            out[name] = x
        return out


def dim_encoder(code):
    rows = []
    for k, width in enumerate((64, 128, 256), 1):
        rows += [("conv", f"conv{k}", width), ("norm", f"norm{k}")]
    return [*rows, ("linear", "fc", 1024, 0), ("norm", "norm4"), ("linear", "y", code, 1)]


# ---- scores


def scores(x, o):
    """Of the samples x, a constant."""
    x = x.detach().numpy()
    how = {"scale": o["width-scale"], "calibrate": None if o["calibrate"] == "none" else o["calibrate"]}
    if o["estimator"] == "stein":
        how.update(eta=o["eta"], iterations=o["iterations"])
    else:
        how["threshold"] = o["threshold"]
    return torch.tensor(make_score.estimate(x, x[:1], **how)[2])


def projection(o, number, d):
    """[k][d], columns of norm 1; circumstance I takes number 0 of the run, II number 1, or two of each step."""
    k = o["projection"]
    if k >= d:
        return torch.eye(d)
    stream = number + (2 if o["fresh-projection"] else 0)
    r = normal(o["seed"], PROJECTION, stream, np.arange(k), d)
    return torch.tensor(r / np.sqrt((r**2).sum(0)))


# ---- objectives: lists of (loss, members that minimise it)


class Case:
    def __init__(self, name):
        self.o = options(train_cases.words(name))
        self.images, self.labels = batch(self.o["batch"], self.o["seed"])
        self.members = {}

    def member(self, name, shape, layers):
        self.members[name] = Net(shape, layers, self.o["seed"], len(self.members))
        return self.members[name]


def surrogate(gradients):
    """Whose gradient in each value is the one given."""
    return sum((g * value).sum() for value, g in gradients)


def parts(x, y, o):
    """What the joint scores of (x, y) have for each."""
    s = scores(torch.cat([x, y], 1), o)
    return s[:, :x.shape[1]], s[:, x.shape[1]:]


def infomax_mige(c):
    o, x = c.o, c.images
    out = c.member("encoder", x.shape[1:], dim_encoder(o["code"]))(x)
    z, h = out["y"], out["norm3"].reshape(len(x), -1)
    up = []
    if "I" in o["circumstance"].split("+"):
        rx = x.reshape(len(x), -1) @ projection(o, 0, x[0].numel()).T
        up.append((z, parts(rx, z, o)[1] - scores(z, o)))
    if "II" in o["circumstance"].split("+"):
        rh = h @ projection(o, 1, h.shape[1]).T
        of_h, of_z = parts(rh, z, o)
        up += [(z, of_z - scores(z, o)), (rh, of_h - scores(rh, o))]
    return [(surrogate([(value, -g / len(x)) for value, g in up]), ["encoder"])]


# ---- cases


DEFAULTS = {"circumstance": "I", "batch": 128, "code": 64, "projection": 64, "fresh-projection": False, "estimator": "ssge",
            "eta": 0.01, "iterations": 3, "calibrate": "none", "threshold": 0.99, "width-scale": 1.0, "seed": 1, "task":
            "infomax", "objective": "mige"}
IGNORED = ("steps", "beta1", "learning-rate")


def options(words):
    o, words = dict(DEFAULTS), list(words)
    while words:
        name = words.pop(0)[2:]
        if name in IGNORED:
            words.pop(0)
        else:
            kind = type(DEFAULTS[name])
            o[name] = True if kind is bool else kind(words.pop(0))
    return o


@functools.lru_cache
def batch(n, seed):
    """The first of the epoch's order, in [-1, 1], channels last; and the labels."""
    with h5py.File(train_cases.DATA) as f:
        first = permutation(seed, SHUFFLE, 0, len(f["train/labels"]))[:n]
        images = np.stack([f["train/images"][i] for i in first])
        labels = np.array([f["train/labels"][i] for i in first])
    return single(2.0 * images.transpose(0, 2, 3, 1) / 255 - 1), torch.tensor(labels.astype(np.int64))


def record(out, name, a):
    """Elements at equal distances, which have no divisor in common with the tensor's size: of every row and column."""
    a = a.detach().numpy().ravel()
    stride = max(1, math.ceil(a.size / STORED))
    while stride > 1 and math.gcd(stride, a.size) > 1:
        stride += 1
    values = a[::stride]
    print(name, a.size, values.size, stride, f"{np.linalg.norm(a):.8g}", file=out)
    print(*(f"{v:.7g}" for v in values), file=out)


def gradients(c, losses):
    """Of each member, what all it minimises sums up to."""
    for name, net in c.members.items():
        total = {t: torch.zeros_like(p) for t, p in net.params.items()}
        for loss, members in losses:
            if name in members:
                found = torch.autograd.grad(loss, list(net.params.values()), retain_graph=True, allow_unused=True)
                for t, g in zip(net.params, found):
                    total[t] += 0 if g is None else g
        for t, g in total.items():
            yield f"{name}/{t}", g


def main():
    wanted = sys.argv[1:] or list(train_cases.CASES)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train.txt")
    with open(path if not sys.argv[1:] else os.devnull, "w") as out:
        for name in wanted:
            c = Case(name)
            losses = globals()[f"{c.o['task']}_{c.o['objective']}".replace("-", "_")](c)
            total = float(sum(loss.detach() for loss, members in losses if "encoder" in members))
            record(out, f"{name}/loss", torch.tensor([total]))
            for tensor, g in gradients(c, losses):
                record(out, f"{name}/{tensor}", g)
            print(f"{name}: loss {total:.9g}", flush=True)


if __name__ == "__main__":
    main()
