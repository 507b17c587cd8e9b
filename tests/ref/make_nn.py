#!/usr/bin/env python3
"""Writes nn_layers.txt beside itself: PyTorch's values for tests/test_nn.c, computed in double precision.

Needs torch (made with 2.13.0) and numpy. Inputs and weights come from a formula that the test repeats to the
last bit (ref_value in tests/ref.h); tensors are stored as mige has them, images and filters channels last.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
FULL, SAMPLE = 128, 64  # tensors up to FULL values are stored whole, of larger ones about SAMPLE
X1, UPSTREAM, PARAMS, INNER, X2 = 1, 2, 3, 4, 5  # salts of the formula
SEED, STEP = 0x123456789ABC, 3  # of what layers draw
KL = 0.25  # weight of the gaussian layers' KL in the loss


def conv(name, out, k, s, p, bias=0):
    return ("conv", name, out, k, s, p, bias)


def linear(name, out, bias=0):
    return ("linear", name, out, bias)


def norm(name, relu=0):
    return ("norm", name, relu)


def gaussian(name, draws, lo=0, hi=0):
    return ("gaussian", name, draws, lo, hi)


def noise(name, out):
    return ("noise", name, out)


# name, input (h, w, c), batch, layers: the table in tests/test_nn.c, which has the same rows.
CASES = [
    ("conv_k4s2p1", (8, 6, 3), 7, [conv("a", 5, 4, 2, 1)]),
    ("conv_k3s1p1", (5, 7, 2), 7, [conv("a", 4, 3, 1, 1, 1)]),
    ("conv_k5s3p2", (9, 4, 3), 7, [conv("a", 3, 5, 3, 2, 1)]),
    ("norm", (3, 5, 4), 7, [norm("a")]),
    ("norm_relu", (3, 5, 4), 7, [norm("a", 1)]),
    ("norm_vector", (1, 1, 6), 7, [norm("a")]),
    ("linear", (2, 3, 4), 7, [linear("a", 5)]),
    ("linear_bias", (2, 3, 4), 7, [linear("a", 5, 1)]),
    ("mixed", (7, 9, 3), 7, [conv("a", 6, 3, 1, 1, 1), ("relu", "b"), conv("c", 8, 4, 2, 1), norm("d"),
                             conv("e", 5, 3, 2, 1), norm("f", 1), linear("g", 10, 1), ("relu", "h"),
                             linear("i", 4)]),
    ("few", (4, 4, 3), 2, [conv("a", 4, 3, 1, 1), norm("b", 1), linear("c", 3, 1)]),
    ("conv_fast", (32, 28, 16), 7, [conv("a", 24, 4, 2, 1, 1)]),
    ("conv_fast_odd", (5, 12, 20), 2, [conv("a", 7, 4, 2, 1)]),
    ("gaussian", (1, 3, 2), 7, [linear("a", 10, 1), gaussian("z", 3), linear("c", 4, 1)]),
    ("gaussian_range", (1, 3, 2), 7, [linear("a", 12, 1), gaussian("z", 2, 0.6, 0.75)]),
    ("noise", (2, 2, 3), 7, [noise("n", 5), linear("a", 6, 1)]),
    ("encoder_grey", (9, 12, 1), 7, [conv("conv1", 64, 4, 2, 1), norm("norm1", 1), conv("conv2", 128, 4, 2, 1),
                                     norm("norm2", 1), conv("conv3", 256, 4, 2, 1), norm("norm3", 1),
                                     linear("fc", 1024), norm("norm4", 1), linear("y", 6, 1)]),
    ("encoder_mlp", (4, 5, 2), 7, [noise("noise", 6), linear("fc1", 16, 1), ("relu", "relu1"),
                                   linear("fc2", 12, 1), ("relu", "relu2"), linear("y", 6, 1)]),
    ("encoder_gaussian", (4, 5, 2), 7, [linear("fc1", 16, 1), ("relu", "relu1"), linear("y", 12, 1),
                                        gaussian("z", 2)]),
    ("encoder", (32, 32, 3), 7, [conv("conv1", 64, 4, 2, 1), norm("norm1", 1), conv("conv2", 128, 4, 2, 1),
                                 norm("norm2", 1), conv("conv3", 256, 4, 2, 1), norm("norm3", 1),
                                 linear("fc", 1024), norm("norm4", 1), linear("y", 64, 1)]),
]


def value(n, salt, first=0):
    i = (np.arange(first, first + n, dtype=np.uint64) & 0xFFFFFFFF).astype(np.uint32)
    with np.errstate(over="ignore"):
        h = i * np.uint32(2654435761) + np.uint32(salt * 2246822519 & 0xFFFFFFFF)
        h = (h ^ h >> np.uint32(16)) * np.uint32(0x85EBCA6B)
        h = (h ^ h >> np.uint32(13)) * np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24) - np.float32(0.5)


def philox(seed, purpose, step, index, n):
    """n uniforms of Philox4x32-10, as src/base/rng.c numbers them."""
    words = []
    for nth in range((n + 3) // 4):
        c = [nth, index & 0xFFFFFFFF, (index >> 32) << 16 | purpose, step]
        k = [seed & 0xFFFFFFFF, seed >> 32]
        for _ in range(10):
            a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [b >> 32 ^ c[1] ^ k[0], b & 0xFFFFFFFF, a >> 32 ^ c[3] ^ k[1], a & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        words += c
    return (np.array(words, dtype=np.float64) + 0.5) * 2.0**-32


def normals(rows, n, layer, layers, train):
    """What a layer draws for each row, [rows, n]: purpose 6, one step later in evaluation."""
    out = np.empty((rows, n))
    for r in range(rows):
        u = philox(SEED, 6, STEP + (not train), r * layers + layer, n + n % 2)
        radius, angle = np.sqrt(-2 * np.log(u[0::2])), 2 * np.pi * u[1::2]
        out[r] = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()[:n]
    return tensor(out)


def deviation(rho, lo, hi):
    if not hi:
        return F.softplus(rho - 5)
    return F.softplus(rho.clamp(*(float(np.log(np.expm1(s))) for s in (lo, hi))))


def tensor(a):
    return torch.tensor(a.astype(np.float64))


def write(out, name, a):
    a = np.asarray(a.detach() if torch.is_tensor(a) else a, dtype=np.float64).ravel()
    stride = 1 if a.size <= FULL else a.size // SAMPLE | 1  # odd: not always the same channel
    stored = a[::stride]
    out.write(f"{name} {a.size} {stored.size} {stride} {np.linalg.norm(a):.9g}\n")
    out.write(" ".join(f"{v:.9g}" for v in stored) + "\n")


class Params:
    """Hands out consecutive pieces of the flat parameter vector as leaves of the graph."""

    def __init__(self):
        self.at, self.leaves = 0, {}

    def take(self, name, shape):
        n = int(np.prod(shape))
        v = value(n, PARAMS, self.at)
        if len(shape) > 1:
            scale = np.float32(1)
            while scale * scale * (n // shape[0]) > 4:
                scale /= np.float32(2)
            v = v * scale
        elif name.endswith("gamma"):
            name = name[:-5] + "weight"
            v = v + np.float32(1)
        self.at += n
        self.leaves[name] = tensor(v.reshape(shape)).requires_grad_()
        return self.leaves[name]


def build(layers, shape):
    """Parameters, running statistics and a list of functions x (NHWC) -> y, one a layer."""
    par, state, fns = Params(), {}, []
    h, w, c = shape
    for index, (kind, name, *rest) in enumerate(layers):
        if kind == "conv":
            out, k, s, p, bias = rest
            wt = par.take(name + ".weight", (out, k, k, c))
            b = par.take(name + ".bias", (out,)) if bias else None
            fns.append(lambda x, train, wt=wt, b=b, s=s, p=p: F.conv2d(
                x.permute(0, 3, 1, 2), wt.permute(0, 3, 1, 2), b, s, p).permute(0, 2, 3, 1))
            h, w, c = (h + 2 * p - k) // s + 1, (w + 2 * p - k) // s + 1, out
        elif kind == "linear":
            out, bias = rest
            wt = par.take(name + ".weight", (out, h * w * c))
            b = par.take(name + ".bias", (out,)) if bias else None
            fns.append(lambda x, train, wt=wt, b=b: F.linear(
                x.reshape(x.shape[0], -1), wt, b).reshape(x.shape[0], 1, 1, -1))
            h, w, c = 1, 1, out
        elif kind == "norm":
            g, b = par.take(name + ".gamma", (c,)), par.take(name + ".bias", (c,))
            m, v = torch.zeros(c), torch.ones(c)
            state[name + ".running_mean"], state[name + ".running_var"] = m, v

            def apply(x, train, m=m, v=v, g=g, b=b, relu=rest[0]):
                y = F.batch_norm(x.permute(0, 3, 1, 2), m, v, g, b, train).permute(0, 2, 3, 1)
                return F.relu(y) if relu else y
            fns.append(apply)
        elif kind == "gaussian":
            draws, lo, hi = rest
            c = c * h * w // 2

            def apply(x, train, i=index, size=(draws, 1, c), lo=lo, hi=hi):
                mu, rho = x.reshape(len(x), 2, 1, 1, -1).unbind(1)
                eps = normals(len(x), int(np.prod(size)), i, len(layers), train).reshape(-1, *size)
                return mu + deviation(rho, lo, hi) * eps
            fns.append(apply)
            h, w = draws, 1
        elif kind == "noise":
            fns.append(lambda x, train, i=index, n=rest[0]: torch.cat(
                [x.reshape(len(x), -1), normals(len(x), n, i, len(layers), train)], 1).reshape(len(x), 1, 1, -1))
            h, w, c = 1, 1, h * w * c + rest[0]
        else:
            fns.append(lambda x, train: F.relu(x))
    return par.leaves, state, fns


def run(fns, x, train):
    ys = []
    for f in fns:
        x = f(x, train)
        ys.append(x)
    return ys


def facts(out, name, x, z, _, lo, hi):
    """Writes what a gaussian layer says of itself; the sum over samples of its KL."""
    mu, rho = x.reshape(len(x), 2, 1, 1, -1).unbind(1)
    sigma = deviation(rho, lo, hi)
    normal = torch.distributions.Normal
    at = z.detach().requires_grad_()
    score, = torch.autograd.grad(normal(mu.detach(), sigma.detach()).log_prob(at).sum(), at)
    kl = torch.distributions.kl_divergence(normal(mu, sigma), normal(0., 1.)).sum()
    write(out, f"{name}/sigma", sigma)
    write(out, f"{name}/score", score)
    write(out, f"{name}/kl", kl.reshape(1))
    return kl


def case(out, name, shape, batch, layers):
    leaves, state, fns = build(layers, shape)
    size = (batch,) + shape
    n = int(np.prod(size))
    x1, x2 = (tensor(2 * value(n, salt).reshape(size)) for salt in (X1, X2))
    x1.requires_grad_()
    ys = run(fns, x1, True)
    loss = (ys[-1] * tensor(value(ys[-1].numel(), UPSTREAM).reshape(ys[-1].shape))).sum()
    if name == "mixed":  # a second loss half-way up
        loss = loss + (ys[2] * tensor(value(ys[2].numel(), INNER).reshape(ys[2].shape))).sum()
    for i, (kind, _, *rest) in enumerate(layers):
        if kind == "gaussian":
            loss = loss + KL * facts(out, name, ys[i - 1], ys[i], *rest)
    loss.backward()
    for layer, y in zip(layers, ys):
        write(out, f"{name}/out.{layer[1]}", y)
    write(out, f"{name}/dx", x1.grad)
    for key, leaf in leaves.items():
        write(out, f"{name}/grad.{key}", leaf.grad)
    with torch.no_grad():
        run(fns, x2, True)
        for key, s in state.items():
            write(out, f"{name}/state.{key}", s)
        write(out, f"{name}/eval", run(fns, x1, False)[-1])


def adam(out):
    for name, rate, b1, b2, decay in (("adam_dim", 1e-2, 0.5, 0.999, 0), ("adam_default", 1e-3, 0.9, 0.999, 0),
                                      ("adam_decay", 1e-2, 0.9, 0.99, 3)):
        p0 = tensor(value(37, 10))
        p = p0.clone().requires_grad_()
        opt = torch.optim.AdamW([p], lr=rate, betas=(b1, b2), eps=1e-8, weight_decay=decay)
        for t in range(1, 6):
            p.grad = tensor(value(37, 10 + t))
            opt.step()
        write(out, name + "/moved", p - p0)
        write(out, name + "/m", opt.state[p]["exp_avg"])
        write(out, name + "/v", opt.state[p]["exp_avg_sq"])


def cross_entropy(out):
    z = tensor(20 * value(90, 20).reshape(9, 10)).requires_grad_()
    labels = torch.tensor([7 * i % 10 for i in range(9)])
    loss = F.cross_entropy(z, labels, reduction="sum")
    (0.25 * loss).backward()
    write(out, "cross_entropy/loss", loss.reshape(1))
    write(out, "cross_entropy/dlogits", z.grad)
    write(out, "cross_entropy/correct", (z.argmax(1) == labels).sum().reshape(1))
    for name, smoothing, confidence in (("smoothing", 0.1, 0), ("confidence", 0, 0.1), ("soft", 0.2, 0.3)):
        z.grad = None
        loss = F.cross_entropy(z, labels, reduction="sum", label_smoothing=smoothing)
        loss = loss - confidence * torch.distributions.Categorical(logits=z).entropy().sum()
        (0.25 * loss).backward()
        write(out, f"{name}/loss", loss.reshape(1))
        write(out, f"{name}/dlogits", z.grad)


def schedules(out):
    """Learning rates of steps 1 to 40."""
    warm, all_steps = 5, 30
    for name in ("constant", "cosine", "steps"):
        opt = torch.optim.SGD([torch.zeros(1)], lr=0.3)
        sched = torch.optim.lr_scheduler
        warmup = sched.LinearLR(opt, 1 / warm, total_iters=warm - 1)
        rates = []
        if name == "cosine":
            then = sched.CosineAnnealingLR(opt, all_steps - warm)
            steps = sched.SequentialLR(opt, [warmup, then], [warm])
        else:
            steps = sched.ChainedScheduler([warmup] + [sched.StepLR(opt, 8, 0.5)] * (name == "steps"))
        for _ in range(all_steps if name == "cosine" else 40):
            rates.append(opt.param_groups[0]["lr"])
            opt.step()
            steps.step()
        write(out, f"schedule/{name}", np.array(rates))


if __name__ == "__main__":
    with open(pathlib.Path(__file__).with_name("nn_layers.txt"), "w", encoding="ascii") as f:
        for row in CASES:
            case(f, *row)
        adam(f)
        cross_entropy(f)
        schedules(f)
