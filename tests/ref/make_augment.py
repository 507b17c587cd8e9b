#!/usr/bin/env python3
"""Writes augment.txt beside itself: views of images for tests/test_augment.c, step by step in double precision.

Needs torch (made with 2.13.0) and numpy. The steps are those of include/mige/augment.h, each done by itself: the
crop by grid_sample, hue as the argument of a complex number.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

import make_nn
from make_nn import philox, value, write

make_nn.SAMPLE = 240  # ten values of each view
SEED, EPOCH, IMAGES, VIEWS = 0x123456789, 4, 12, 2
DEFAULT = {"crop": 0.2, "flip": 0.5, "colour": 0.4, "grey": 0.2}

# name, (c, h, w), strengths: the table in tests/test_augment.c, which has the same rows.
CASES = [
    ("all", (3, 9, 12), DEFAULT),
    ("small", (3, 8, 8), {"crop": 0.05, "colour": 1}),
    ("one_channel", (1, 7, 5), DEFAULT),
    ("two_channels", (2, 6, 10), DEFAULT),
    ("crop", (3, 5, 7), {"crop": 0.5}),
    ("flip", (3, 5, 7), {"flip": 0.25}),
    ("grey", (3, 5, 7), {"grey": 0.75}),
    ("colour", (3, 5, 7), {"colour": 0.4}),
]


def crop(x, u, smallest):
    h, w = x.shape[1:]
    area, ratio = (smallest + (1 - smallest) * u[0]) * h * w, 0.75 ** (1 - 2 * u[1])
    cw, ch = min(w, np.sqrt(area * ratio)), min(h, np.sqrt(area / ratio))
    left, top = u[2] * (w - cw), u[3] * (h - ch)
    sx = left + (torch.arange(w) + 0.5) * (cw / w)
    sy = top + (torch.arange(h) + 0.5) * (ch / h)
    grid = torch.stack([(2 * sx / w - 1).expand(h, w), (2 * sy / h - 1)[:, None].expand(h, w)], -1)
    return F.grid_sample(x[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]


def luma(x):
    return 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]


def jitter(x, u, strength):
    brightness, contrast, saturation = (1 + strength * (2 * u[i] - 1) for i in (6, 7, 8))
    x = x * brightness
    x = luma(x).mean() + contrast * (x - luma(x).mean())
    x = luma(x) + saturation * (x - luma(x))
    third = np.exp(2j * np.pi / 3)
    chroma = (x[0] + x[1] * third + x[2] / third) * np.exp(2j * np.pi * strength / 4 * (2 * u[9] - 1))
    d = torch.stack([(chroma * third**-k).real * (2 / 3) for k in range(3)])
    return luma(x) + d - luma(d)


def view(x, u, a):
    if "crop" in a:
        x = crop(x, u, a["crop"])
    if u[4] < a.get("flip", 0):
        x = x.flip(2)
    if len(x) == 3 and "colour" in a and u[5] < 0.8:
        x = jitter(x, u, a["colour"])
    if len(x) == 3 and u[10] < a.get("grey", 0):
        x = luma(x).expand(3, -1, -1)
    return 2 * x.clamp(0, 1) - 1


with open(pathlib.Path(__file__).with_name("augment.txt"), "w", encoding="ascii") as f:
    for name, shape, strengths in CASES:
        pixels = np.floor(256 * (value(IMAGES * int(np.prod(shape)), 1).astype(float) + 0.5))
        images = torch.tensor(pixels.reshape(IMAGES, *shape) / 255)
        views = [view(images[i], philox(SEED, 11, EPOCH, 2 * i + v, 11), strengths).permute(1, 2, 0)
                 for i in range(IMAGES) for v in range(VIEWS)]
        write(f, name, torch.stack(views))
