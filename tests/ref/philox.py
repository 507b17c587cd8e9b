"""Philox4x32-10 (Random123) and what is drawn with it, as functions of (seed, purpose, step, index): for make_train.py."""
import math

import numpy as np


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
