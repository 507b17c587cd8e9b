#!/usr/bin/env python3
"""Training steps of the rival of `make bench`: the same work in PyTorch, at each of its settings.

usage: rival_step.py --threads N [--seconds S] [--batch B] [--settings NAME,NAME...] WORK...

  I        encoder of Deep InfoMax, MIGE of image and code, Adam
  views    the same encoder and Adam, MIGE of the codes of two views; the views are made here, a batch at a time
  dvb      bottleneck 784-1024-1024-512, code 256, cross entropy and KL divergence, Adam, averaged weights
  mige-ib  the same with the code's marginal score estimated and the conditional one exact

Settings: float32, bfloat16 (autocast), each alone or with -compiled (torch.compile). Always: channels last, fused Adam,
images of their real shape as bytes, scores in double, the exact median. Prints a line `WORK SETTING SCORES seconds` each: scores
are none (the encoder and Adam alone), ssge (GEMM form and eigh) or stein (iterated Tikhonov), or - where there are none; in place of
the seconds, why there are none.
"""
import argparse

import torch
from torch import nn
from torch.nn import functional as F

from rival import gemm_form, median_time, tikhonov

SETTINGS = ("float32", "float32-compiled", "bfloat16", "bfloat16-compiled")
SCORES = {"none": None, "ssge": gemm_form, "stein": tikhonov}


def encoder():
    layers, channels = [], 3
    for out in (64, 128, 256):
        layers += [nn.Conv2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    layers += [nn.Flatten(), nn.Linear(4096, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(), nn.Linear(1024, 64)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


LUMA = torch.tensor([0.299, 0.587, 0.114])


def augment(pixels):
    """A random view of each image of a batch, as include/mige/augment.h has it: crop, flip, and colours by a matrix each."""
    count, (height, width) = len(pixels), pixels.shape[2:]
    u = torch.rand(11, count)
    area, ratio = (0.2 + 0.8 * u[0]) * height * width, 0.75 ** (1 - 2 * u[1])
    w, h = ((area * r).sqrt().clamp(max=side) / side for r, side in ((ratio, width), (1 / ratio, height)))
    zero = torch.zeros(count)
    flip = torch.where(u[4] < 0.5, -1.0, 1.0)
    theta = torch.stack([torch.stack([w * flip, zero, (2 * u[2] - 1) * (1 - w)], 1), torch.stack([zero, h, (2 * u[3] - 1) * (1 - h)], 1)], 1)
    grid = F.affine_grid(theta, pixels.shape, align_corners=False)
    x = F.grid_sample(pixels.float().div(255), grid, padding_mode="border", align_corners=False).flatten(2)
    jitter = u[5] < 0.8
    bright, contrast, full = torch.where(jitter, 1 + 0.4 * (2 * u[6:9] - 1), 1.0)
    full = torch.where(u[10] < 0.2, 0.0, full)
    angle = torch.where(jitter, torch.pi / 2 * 0.4 * (2 * u[9] - 1), 0.0)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    turn = (full * angle.cos()).view(-1, 1, 1) * torch.eye(3) + (full * angle.sin()).view(-1, 1, 1) * cross
    matrix = (bright * contrast).view(-1, 1, 1) * (turn + (LUMA - LUMA @ turn).unsqueeze(1))
    mean = (LUMA @ x).mean(1)
    constant = (bright * (1 - contrast) * mean).view(-1, 1, 1)
    return torch.baddbmm(constant, matrix, x).clamp(0, 1).mul(2).sub(1).view(pixels.shape)


class Infomax:
    """load() -> what the network is given; network -> code; upstream(given, code, score) -> the code's gradient."""

    def __init__(self, batch, views):
        self.batch, self.views = batch, views
        self.pixels = torch.randint(0, 256, (4 * batch, 3, 32, 32), dtype=torch.uint8)
        self.network = encoder()
        self.projection = torch.randn(64, 3072)
        self.fixed = torch.randn((1 + views) * batch, 64)

    def load(self):
        pixels = self.pixels[torch.randperm(4 * self.batch)[: self.batch]]
        x = torch.cat([augment(pixels), augment(pixels)]) if self.views else pixels.float().div(127.5).sub(1)
        return (x.contiguous(memory_format=torch.channels_last),)

    def backward(self, given, z, score):
        upstream = self.fixed
        if score:
            with torch.no_grad():
                upstream = (self.of_views if self.views else self.of_image)(given[0], z.double(), score) / self.batch
        z.backward(upstream.to(z.dtype))

    def of_image(self, x, z, score):
        x = (x.permute(0, 2, 3, 1).flatten(1) @ self.projection.T).double()
        return score(z) - score(torch.cat([x, z], 1))[:, 64:]

    def of_views(self, _, z, score):
        a, b = z.chunk(2)
        both = score(torch.cat([a, b], 1))
        return torch.cat([score(a) - both[:, :64], score(b) - both[:, 64:]])


class Bottleneck(nn.Module):
    def __init__(self, batch, rate):
        super().__init__()
        self.batch, self.rate, self.network = batch, rate, self
        self.pixels = torch.randint(0, 256, (4 * batch, 784), dtype=torch.uint8)
        self.labels = torch.randint(0, 10, (4 * batch,))
        self.layers = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 512))
        self.decoder = nn.Linear(256, 10)

    def load(self):
        which = torch.randperm(4 * self.batch)[: self.batch]
        return self.pixels[which].float().div(127.5).sub(1), self.labels[which], torch.randn(self.batch, 256)

    def forward(self, x, labels, noise):
        mean, rho = self.layers(x).float().chunk(2, 1)
        sigma = F.softplus(rho - 5)
        z = mean + sigma * noise
        loss = F.cross_entropy(self.decoder(z).float(), labels)
        if self.rate:
            loss = loss + self.rate * 0.5 * (mean.square() + sigma.square() - 1 - 2 * sigma.log()).sum(1).mean()
        return loss, z, sigma

    def backward(self, given, out, score):
        loss, z, sigma = out
        if score:
            with torch.no_grad():
                upstream = 1e-3 / self.batch * (-given[2] / sigma - score(z.double()).float())
            torch.autograd.backward([loss, z], [None, upstream])
        else:
            loss.backward()


def work_of(name, batch):
    if name in ("I", "views"):
        return Infomax(batch or 256, name == "views"), SCORES, False
    return Bottleneck(batch or 100, 1e-3 * (name == "dvb")), {"-": None} if name == "dvb" else {"stein": tikhonov}, True


def make_step(work, network, half, average):
    parameters = list(work.network.parameters())
    adam = torch.optim.Adam(parameters, 1e-4, (0.5, 0.999), fused=True)
    averages = [p.detach().clone() for p in parameters]

    def step(score):
        given = work.load()
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = network(*given)
        work.backward(given, out, score)
        adam.step()
        if average:
            torch._foreach_lerp_(averages, parameters, 0.001)

    return step


def run(name, setting, asked):
    work, scores, average = work_of(name, asked.batch)
    network = torch.compile(work.network) if "compiled" in setting else work.network
    step = make_step(work, network, "bfloat16" in setting, average)
    for label, score in scores.items():
        try:
            print(name, setting, label, f"{median_time(lambda: step(score), asked.seconds):.6f}", flush=True)
        except Exception as error:  # no compiler for torch.compile, above all; whatever it is, the other settings go on
            print(name, setting, label, " ".join(repr(error).split())[:160], flush=True)
            return


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("work", nargs="+", choices=("I", "views", "dvb", "mige-ib"))
    parse.add_argument("--threads", type=int, default=2)
    parse.add_argument("--seconds", type=float, default=3)
    parse.add_argument("--batch", type=int)
    parse.add_argument("--settings", default=",".join(SETTINGS))
    asked = parse.parse_args()
    torch.set_num_threads(asked.threads)
    for name in asked.work:
        for setting in asked.settings.split(","):
            torch.manual_seed(1)
            run(name, setting, asked)


if __name__ == "__main__":
    main()
