#!/usr/bin/env python3
"""Writes train.txt beside itself: what the optimiser must get in the first step of each training of train_cases.py, and
what a few steps of some lead to, by PyTorch's autograd in double precision, from the images and the options alone. Needs
torch (made with 2.13.0).

Random numbers are Philox4x32-10 of (seed, purpose, step, index), written anew in philox.py; scores are computed from their
definition (make_score.py) and held constant; nothing of the program is used. Records are NAME/loss, the reported loss of
each step; NAME/MEMBER/TENSOR, the gradient of what the member minimises; where weights are averaged NAME/error, the test
error after each epoch, and NAME/average/MEMBER/TENSOR, what is left at the end."""
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
from philox import bits, normal, permutation, uniform

torch.set_default_dtype(torch.float64)
INIT, SHUFFLE, PROJECTION, DROPOUT, NOISE, AUGMENT, PRIOR = 1, 2, 3, 4, 6, 11, 12
STORED = 64  # values of a tensor, at most


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
            elif kind == "noise":
                shape = (1, 1, math.prod(shape) + how[0])
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

    def draws(self, layer, rows, n, step):
        return single(normal(self.seed, NOISE, step, np.arange(rows) * len(self.layers) + layer, n))

    def gaussian(self, layer, x, draws, bounds, step):
        """[rows][draws][K]; eps and sigma are kept for the score."""
        mu, rho = x.chunk(2, 1)
        if bounds:
            self.sigma = F.softplus(rho.clamp(*(b + math.log(-math.expm1(-b)) for b in bounds)))
        else:
            self.sigma = F.softplus(rho - 5)
        self.mu, self.eps = mu, self.draws(layer, len(x), draws * mu.shape[1], step).reshape(len(x), draws, -1)
        return mu[:, None] + self.sigma[:, None] * self.eps

    def __call__(self, x, step):
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
            elif kind == "noise":
                x = torch.cat([x.reshape(len(x), -1), self.draws(i, len(x), how[0], step)], 1)
            elif kind == "gaussian":
                x = self.gaussian(i, x, *how, step)
            out[name] = x
        return out


def dim():
    rows = []
    for k, width in enumerate((64, 128, 256), 1):
        rows += [("conv", f"conv{k}", width), ("norm", f"norm{k}")]
    return [*rows, ("linear", "fc", 1024, 0), ("norm", "norm4")]


def mlp(widths, rate=0.0):
    rows = []
    for k, width in enumerate(widths, 1):
        rows += [("linear", f"fc{k}", width, 1), ("relu", f"relu{k}")]
        rows += [("dropout", f"drop{k}", rate)] if rate else []
    return rows


def encoder(o, rate=0.0, drawn=False):
    """drawn: the code is random, by y's means and deviations or, implicit, by noise among the inputs."""
    rows = dim() if o["encoder"] == "dim" else mlp([int(w) for w in o["encoder"].split(":")[1].split(",")], rate)
    if not drawn:
        return [*rows, ("linear", "y", o["code"], 1)]
    if o["implicit"]:
        return [("noise", "noise", o["code"]), *rows, ("linear", "y", o["code"], 1)]
    bounds = [float(b) for b in o["sigma-range"].split(":")] if o["sigma-range"] else None
    return [*rows, ("linear", "y", 2 * o["code"], 1), ("gaussian", "z", o["draws"], bounds)]


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


def projection(o, number, d, step):
    """[k][d], columns of norm 1; circumstance I takes number 0 of the run, II number 1, or two of each step."""
    k = o["projection"]
    if k >= d:
        return torch.eye(d)
    stream = number + (2 * step if o["fresh-projection"] else 0)
    r = normal(o["seed"], PROJECTION, stream, np.arange(k), d)
    return torch.tensor(r / np.sqrt((r**2).sum(0)))


# ---- objectives: functions of a case that give a list of (loss, members that minimise it)


class Case:
    def __init__(self, name):
        self.o = options(train_cases.words(name))
        self.images, self.labels = read(train_cases.IMAGES if name in train_cases.RUNS else None)
        self.per_epoch = len(self.images) // self.o["batch"]
        self.members, self.step = {}, 0

    def next_step(self):
        self.step += 1
        B, (self.epoch, at) = self.o["batch"], divmod(self.step - 1, self.per_epoch)
        self.index = permutation(self.o["seed"], SHUFFLE, self.epoch, len(self.images))[at * B:(at + 1) * B]
        self.x, self.y = self.images[self.index], self.labels[self.index]

    def member(self, name, shape, layers):
        """Made in the first step."""
        if name not in self.members:
            self.members[name] = Net(shape, layers, self.o["seed"], len(self.members))
        return self.members[name]

    def encode(self, copies=1, views=0, **how):
        """Every layer's output; an image's copies, or views, one after the other."""
        net = self.member("encoder", self.x.shape[1:], encoder(self.o, **how))
        x = self.x.repeat_interleave(max(copies, views), 0)
        if views and self.o["augment"] == "flip":
            rows = (2 * self.index[:, None] + np.arange(2)).ravel()
            turned = torch.tensor(uniform(self.o["seed"], AUGMENT, self.epoch, rows, 5)[:, 4] < 0.5)
            x = torch.where(turned[:, None, None, None], x.flip(2), x)
        return net(x, self.step)

    def critic(self, name, x, *layers):
        """The last output of a network of its own, which sees x."""
        shape = x.shape[1:] if x.dim() == 4 else (1, 1, x.shape[1])
        return self.member(name, shape, layers)(x, self.step)[layers[-1][1]]


def infomax(c):
    o, views = c.o, c.o["circumstance"] == "views"
    if views:
        out = c.encode(views=2)
        loss = views_of[o["objective"]](out["y"][0::2], out["y"][1::2], o)
    elif o["objective"] == "mige":
        out = c.encode()
        loss = one_view(c, out)
    else:
        out = c.encode()
        loss = contrast[o["objective"]](pairs(c, out))
    losses = [(loss, list(c.members))]
    return losses + prior(c, out["y"]) if o["prior-matching"] else losses


def surrogate(given, M):
    """Whose gradient in each value is minus the one given, over M."""
    return -sum((g * value).sum() for value, g in given) / M


def parts(x, y, o):
    """What the joint scores of (x, y) have for each."""
    s = scores(torch.cat([x, y], 1), o)
    return s[:, :x.shape[1]], s[:, x.shape[1]:]


def one_view(c, out):
    o, x = c.o, c.x
    z, h = out["y"], out["norm3"].reshape(len(x), -1)
    up = []
    if "I" in o["circumstance"].split("+"):
        rx = x.reshape(len(x), -1) @ projection(o, 0, x[0].numel(), c.step).T
        up.append((z, parts(rx, z, o)[1] - scores(z, o)))
    if "II" in o["circumstance"].split("+"):
        rh = h @ projection(o, 1, h.shape[1], c.step).T
        of_h, of_z = parts(rh, z, o)
        up += [(z, of_z - scores(z, o)), (rh, of_h - scores(rh, o))]
    return surrogate(up, len(x))


def two_views(z1, z2, o):
    of_1, of_2 = parts(z1, z2, o)
    return surrogate([(z1, of_1 - scores(z1, o)), (z2, of_2 - scores(z2, o))], len(z1))


def nt_xent(z1, z2, o):
    z = F.normalize(torch.cat([z1, z2]))
    s = z @ z.T / o["temperature"]
    return F.cross_entropy(s.fill_diagonal_(-math.inf), torch.arange(len(z)).roll(len(z1)))


def negatives(T):
    return T[~torch.eye(len(T), dtype=bool)]


def jsd(T):
    neg = negatives(T)
    return -((math.log(2) - F.softplus(-T.diagonal())).mean() - (F.softplus(-neg) + neg - math.log(2)).mean())


def infonce(T):
    return F.cross_entropy(T, torch.arange(len(T)))


def dv(T):
    return -(T.diagonal().mean() - torch.log(torch.exp(negatives(T)).mean()))


views_of = {"mige": two_views, "infonce": nt_xent, "jsd": lambda a, b, o: jsd(a @ b.T),
            "dv": lambda a, b, o: dv(a @ b.T)}


def pairs(c, out):
    """T_ij, of image i and code j."""
    if c.o["critic"] == "dot":
        u = c.critic("critic_map", out["norm2"], ("conv", "conv1", 256), ("norm", "norm1"), ("linear", "fc", 1024, 0),
                     ("norm", "norm2"), ("linear", "out", 2048, 1))
        return u @ c.critic("critic_code", out["y"], ("linear", "out", 2048, 1)).T
    u = c.critic("critic_map", out["norm3"], ("linear", "fc", 512, 0))
    v = c.critic("critic_code", out["y"], ("linear", "fc", 512, 1))
    both = (u[:, None] + v[None, :]).reshape(-1, 512)
    return c.critic("critic_pair", both, ("relu", "relu1"), ("linear", "fc2", 512, 1), ("relu", "relu2"),
                    ("linear", "out", 1, 1)).reshape(len(u), len(v))


def prior(c, y):
    """A discriminator tells sigmoid(y) from uniform numbers; the encoder is to deceive it."""
    p, n = torch.sigmoid(y), y.shape[1]
    u = single(uniform(c.o["seed"], PRIOR, c.step, np.arange(len(y)), n))
    def d(values):
        return c.critic("discriminator", values, *mlp((1000, 200)), ("linear", "out", 1, 1))
    of_p = d(p)
    return [(c.o["prior-matching"] * F.softplus(-of_p).mean(), ["encoder"]),
            (F.softplus(-d(u)).mean() + F.softplus(of_p).mean(), ["discriminator"])]


DRAWN = ("dvb", "mige-ib", "mine-ib")


def ib(c):
    o = c.o
    B, K, what = len(c.x), o["code"], o["objective"]
    out = c.encode(o["draws"] if o["implicit"] else 1, rate=o["hidden-dropout"] if what == "dropout" else 0,
                   drawn=what in DRAWN)
    z = out["z" if what in DRAWN and not o["implicit"] else "y"].reshape(B, -1, K)
    logits = c.critic("decoder", z.reshape(-1, K), ("linear", "logits", 10, 1))
    labels = c.y.repeat_interleave(z.shape[1])
    loss = F.cross_entropy(logits, labels, label_smoothing=o["smoothing"] if what == "label-smoothing" else 0)
    log_p = F.log_softmax(logits, 1)
    if what == "confidence-penalty":
        loss = loss + o["confidence"] * (log_p.exp() * log_p).sum(1).mean()
    if what == "dvb":
        mu, sigma = c.members["encoder"].mu, c.members["encoder"].sigma
        loss = loss + o["beta"] * (0.5 * (mu**2 + sigma**2 - 1) - torch.log(sigma)).sum(1).mean()
    losses = [(loss, ["encoder", "decoder"]), (o["scale-penalty"] * (z**2).sum(2).mean(), ["encoder"])]
    if what == "mige-ib":
        losses.append((o["beta"] * -bottleneck(c, z), ["encoder"]))
    if what == "mine-ib":
        bound = mine(c, z[:, 0])
        losses += [(o["beta"] * bound, ["encoder"]), (-bound, ["critic"])]
    return losses


def bottleneck(c, z):
    """Minus the information that z has of the image, by scores of the first draws of each; all draws make the
    conditional score."""
    o, m = c.o, c.o["marginal-draws"]
    if o["conditional"] == "gaussian":
        net = c.members["encoder"]
        given = (-net.eps / net.sigma[:, None]).detach()
    else:
        given = torch.stack([scores(draws, o) for draws in z])
    some = z[:, :m].reshape(-1, z.shape[2])
    return surrogate([(some, given[:, :m].reshape(some.shape) - scores(some, o))], len(some))


def mine(c, z):
    x = c.x.reshape(len(z), -1)
    both = torch.cat([torch.cat([x, z], 1), torch.cat([x, z.roll(-1, 0)], 1)])
    T = c.critic("critic", both, *mlp((512, 512)), ("linear", "out", 1, 1))
    return T[:len(z)].mean() - torch.log(torch.exp(T[len(z):]).mean())


# ---- cases


DEFAULTS = {
    "task": "infomax", "objective": "mige", "circumstance": "I", "batch": 128, "code": 64, "seed": 1, "encoder": "dim",
    "projection": 64, "fresh-projection": False, "estimator": "ssge", "eta": 0.01, "iterations": 3, "calibrate": "none",
    "threshold": 0.99, "width-scale": 1.0, "critic": "dot", "temperature": 0.2, "prior-matching": 0.0, "augment": "none",
    "implicit": False, "beta": 1e-3, "conditional": "gaussian", "draws": 1, "marginal-draws": 1, "scale-penalty": 0.0,
    "sigma-range": "", "hidden-dropout": 0.5, "smoothing": 0.1, "confidence": 0.1, "clip": 0.0,
    "steps": 0, "beta1": 0.5, "beta2": 0.999, "learning-rate": 1e-4, "weight-decay": 0.0, "schedule": "constant", "warmup": 0,
    "decay": 1.0, "decay-every": 1.0, "average": 0.0, "test-every": 0}


def options(words):
    o, words = dict(DEFAULTS), list(words)
    while words:
        name = words.pop(0)[2:]
        kind = type(DEFAULTS[name])
        o[name] = True if kind is bool else kind(words.pop(0))
    return o


@functools.lru_cache
def read(n):
    """The first n training images, all without n, in [-1, 1], channels last; and the labels."""
    with h5py.File(train_cases.DATA) as f:
        images, labels = f["train/images"][:n], f["train/labels"][:n]
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
    """Their norm, and {member/tensor: of all that the member minimises}, shortened to norm `clip` together."""
    found = {}
    for name, net in c.members.items():
        mine = sum(loss for loss, members in losses if name in members)
        of = torch.autograd.grad(mine, list(net.params.values()), retain_graph=True)
        found.update({f"{name}/{t}": g for t, g in zip(net.params, of)})
    norm = math.sqrt(sum((g**2).sum() for g in found.values()))
    factor = min(1, c.o["clip"] / norm) if c.o["clip"] else 1
    return norm, {name: g * factor for name, g in found.items()}


def rate(c):
    """Warm-up in equal parts; then a half wave down to 0 after the last step, or a factor every so many epochs."""
    o, past = c.o, c.step - 1
    r = o["learning-rate"] * min(1, c.step / max(o["warmup"], 1))
    if o["schedule"] == "cosine" and c.step > o["warmup"]:
        r *= (1 + math.cos(math.pi * (past - o["warmup"]) / (o["steps"] - o["warmup"]))) / 2
    if o["schedule"] == "step":
        r *= o["decay"] ** (past // int(o["decay-every"] * c.per_epoch))
    return r


def move(c, found, moments):
    """Adam, weights decaying beside it."""
    o = c.o
    for name, net in c.members.items():
        for t, p in net.params.items():
            g = found[f"{name}/{t}"]
            m, v = moments.get(p, (0, 0))
            m, v = o["beta1"] * m + (1 - o["beta1"]) * g, o["beta2"] * v + (1 - o["beta2"]) * g**2
            moments[p] = m, v
            step = m / (1 - o["beta1"]**c.step) / (torch.sqrt(v / (1 - o["beta2"]**c.step)) + 1e-8)
            p.data -= rate(c) * (step + o["weight-decay"] * p.data)


def error(c, average):
    """Percent of all images, for which the averages take the weights' place: of codes that are not drawn."""
    kept = {p: p.data for p in average}
    for p in average:
        p.data = average[p]
    c.x, c.y = c.images, c.labels
    z = c.encode()["y"]
    found = c.critic("decoder", z, ("linear", "logits", 10, 1)).argmax(1)
    for p in kept:
        p.data = kept[p]
    return 100 * (found != c.labels).double().mean().item()


def train(c):
    """Losses of the steps, errors after epochs, and the last step's gradient."""
    told, wrong, moments, average, found, norm = [], [], {}, {}, {}, 0
    for step in range(1, c.o["steps"] + 1):
        c.next_step()
        losses = {"infomax": infomax, "ib": ib}[c.o["task"]](c)
        told.append(sum(loss for loss, members in losses if "encoder" in members).item())
        norm, found = gradients(c, losses)
        weights = [p for net in c.members.values() for p in net.params.values()]
        before = average or {p: p.data.clone() for p in weights}
        move(c, found, moments)
        average = {p: c.o["average"] * before[p] + (1 - c.o["average"]) * p.data for p in weights}
        if c.o["average"] and (step % c.per_epoch == 0 or step == c.o["steps"]):
            wrong.append(error(c, average))
    return told, wrong, average, norm, found


def main():
    """All cases, or those named on the command line, whose records take the place of the old ones."""
    names = [*train_cases.CASES, *train_cases.RUNS]
    wanted = sys.argv[1:] or names
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train.txt")
    records = {name: "" for name in names}
    if os.path.exists(path):
        with open(path) as f:
            for head in f:
                records[head.split("/", 1)[0]] = records.get(head.split("/", 1)[0], "") + head + next(f)
    with open(path + ".part", "w") as out:
        for name in names:
            if name not in wanted:
                out.write(records[name])
                continue
            c = Case(name)
            told, wrong, average, norm, found = train(c)
            record(out, f"{name}/loss", torch.tensor(told))
            if wrong:
                record(out, f"{name}/error", torch.tensor(wrong))
                for member, net in c.members.items():
                    for tensor, p in net.params.items():
                        record(out, f"{name}/average/{member}/{tensor}", average[p])
            for tensor, g in found.items() if name in train_cases.CASES else ():
                record(out, f"{name}/{tensor}", g)
            print(f"{name}: loss {', '.join(f'{loss:.7g}' for loss in told)}, gradient's norm {norm:.6g}", *wrong, flush=True)
    os.replace(path + ".part", path)


if __name__ == "__main__":
    main()
