"""What bottlenecks make of images that they were not trained on: test error under noise and rotation, and how well images of other
kinds are told by the code.

  python3 -m analysis bottleneck RUNS/table2 --data mnist.h5 [--others cifar10.h5] [--results analysis/results]

Of each run in RUNS/table2 that jobs/study.py has kept, robust.h5 beside what is kept of it, which table2 makes tables of; pictures
table2-robust.png and, of codes of two dimensions, table2-codes.png. The network is read from the newest checkpoint and computed here,
in float32, by the averaged weights."""
import argparse
import glob
import os
import sys

import h5py
import numpy as np
from common import COLOURS, guarded, plt, save
from kept import load
from table2 import NAMES, robust

DRAWS, BATCH, SHOWN = 12, 1000, 3000
NOISE = np.arange(0, 0.61, 0.1)      # deviation, of pixels from 0 to 1
ANGLES = np.arange(0, 61, 10)        # degrees


class Network:
    """Encoder and classifier of a checkpoint of task ib with encoder mlp."""

    def __init__(self, run, options):
        checkpoints = glob.glob(os.path.join(run, "checkpoint-*.h5"))
        if not checkpoints:
            raise ValueError(f"{run}: there is no checkpoint")
        newest = max(checkpoints, key=lambda name: int(name.rpartition("-")[2][:-3]))
        with h5py.File(newest) as f:
            weights = f["average"] if "average" in f else f
            if "decoder" not in weights:
                raise ValueError(f"{newest}: not of task ib")
            self.encoder = {name: d[()] for name, d in weights["encoder"].items()}
            self.head = weights["decoder/logits.weight"][()], weights["decoder/logits.bias"][()]
        self.width = self.head[0].shape[1]
        self.drawn = len(self.encoder["y.bias"]) == 2 * self.width
        self.implicit = options.get("implicit") == "yes"
        self.range = [float(v) for v in options["sigma-range"].split(":")] if options.get("sigma-range") else None

    def code(self, x):
        """mu and sigma (None: no density) of images [n][pixels] from -1 to 1."""
        k = 1
        while f"fc{k}.weight" in self.encoder:
            x = np.maximum(x @ self.encoder[f"fc{k}.weight"].T + self.encoder[f"fc{k}.bias"], 0)
            k += 1
        y = x @ self.encoder["y.weight"].T + self.encoder["y.bias"]
        if not self.drawn:
            return y, None
        mu, rho = y[:, :self.width], y[:, self.width:]
        return mu, np.clip(np.logaddexp(0, rho), *self.range) if self.range else np.logaddexp(0, rho - 5)

    def classify(self, x, rng):
        """Chances of the classes, the mean over draws; and the KL divergence of the code from N(0, 1), NaN where it has no density."""
        draws = DRAWS if self.drawn or self.implicit else 1
        chance, kl = 0, np.full(len(x), np.nan)
        for draw in range(draws):
            if self.implicit or draw == 0:
                noise = [rng.standard_normal((len(x), self.width), dtype=np.float32)] if self.implicit else []
                mu, sigma = self.code(np.hstack([x, *noise]))
            z = mu if sigma is None else mu + sigma * rng.standard_normal(mu.shape, dtype=np.float32)
            logits = z @ self.head[0].T + self.head[1]
            e = np.exp(logits - logits.max(1, keepdims=True))
            chance = chance + e / e.sum(1, keepdims=True) / draws
        if sigma is not None:
            kl = (0.5 * (mu ** 2 + sigma ** 2 - 1) - np.log(sigma)).sum(1)
        return chance, kl

    def each(self, images):
        """The same of any number of images, from 0 to 1."""
        rng = np.random.default_rng(1)
        parts = [self.classify(2 * images[i:i + BATCH].reshape(-1, images[0].size) - 1, rng) for i in range(0, len(images), BATCH)]
        return np.concatenate([c for c, _ in parts]), np.concatenate([k for _, k in parts])


def rotated(images, degrees):
    """Counter-clockwise about the centre, bilinear, black outside."""
    h, w = images.shape[1:]
    a, y, x = np.deg2rad(degrees), *np.mgrid[:h, :w].astype(np.float32)
    y, x = y - (h - 1) / 2, x - (w - 1) / 2
    from_y, from_x = np.cos(a) * y + np.sin(a) * x + (h - 1) / 2 + 1, np.cos(a) * x - np.sin(a) * y + (w - 1) / 2 + 1
    framed = np.pad(images, ((0, 0), (1, 2), (1, 2)))
    top, left = np.clip(np.floor(from_y), 0, h).astype(int), np.clip(np.floor(from_x), 0, w).astype(int)
    down, right = np.clip(from_y - top, 0, 1), np.clip(from_x - left, 0, 1)
    inside = (from_y > 0) & (from_y < h + 1) & (from_x > 0) & (from_x < w + 1)
    mixed = sum(framed[:, top + i, left + j] * ((down if i else 1 - down) * (right if j else 1 - right)) for i in (0, 1) for j in (0, 1))
    return (mixed * inside).astype(np.float32)


def grey(path, shape, n):
    """Test images of another file: grey, and their middle."""
    with h5py.File(path) as f:
        images = f["test/images"][:n].astype(np.float32).mean(1) / 255
    top, left = (np.array(images.shape[1:]) - shape) // 2
    if min(top, left) < 0:
        raise ValueError(f"{path}: images are smaller than those that were trained on")
    return images[:, top:top + shape[0], left:left + shape[1]]


def auroc(inside, outside):
    """Chance that one of outside has the larger score; ties count half."""
    scores = np.concatenate([inside, outside])
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n, m = len(inside), len(outside)
    return (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)


def entropy(chance):
    return -(chance * np.log(np.maximum(chance, 1e-30))).sum(1)


def measure(net, images, labels, others):
    """{dataset: values} of robust.h5."""
    rng, found = np.random.default_rng(2), {"noise": NOISE, "angles": ANGLES}

    def error(x):
        return 100 * np.mean(net.each(x)[0].argmax(1) != labels)

    noise = rng.standard_normal(images.shape, dtype=np.float32)
    found["noise_error"] = [error(np.clip(images + np.float32(s) * noise, 0, 1)) for s in NOISE]
    found["angle_error"] = [error(rotated(images, a)) for a in ANGLES]
    chance, kl = net.each(images)
    kinds = {"turned by 90 degrees": rotated(images, 90), "uniform noise": rng.random(images.shape, dtype=np.float32), **others}
    outside = [net.each(x) for x in kinds.values()]
    found["others"] = [np.bytes_(name) for name in kinds]
    found["others_entropy"] = [auroc(entropy(chance), entropy(c)) for c, _ in outside]
    if net.drawn:
        found["others_kl"] = [auroc(kl, k) for _, k in outside]
    if net.width == 2 and not net.implicit:
        found["codes"] = net.code(2 * images[:SHOWN].reshape(-1, images[0].size) - 1)[0]
        found["labels"] = labels[:SHOWN]
    return found


def write(path, found):
    with h5py.File(path + ".part", "w") as f:
        for name, values in found.items():
            f[name] = np.asarray(values)
    os.replace(path + ".part", path)


def draw(rows, output):
    """Errors against noise and angle."""
    fig, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for panel, (at, of, unit) in zip(panels, (("noise", "noise_error", "deviation of the noise (pixels from 0 to 1)"),
                                              ("angles", "angle_error", "rotation, degrees"))):
        for i, (name, runs) in enumerate(rows.items()):
            if (errors := robust(runs, of)) is not None:
                panel.semilogy(robust(runs, at), errors, marker="os^vDP*X"[i % 8], color=COLOURS[i % len(COLOURS)], label=NAMES.get(name, name))
        panel.set(xlabel=unit, ylabel="test error, %")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=7)
    save(fig, output)


def draw_codes(rows, output):
    """Codes of two dimensions, by class."""
    drawn = [(name, codes, robust(runs, "labels")) for name, runs in rows.items() if (codes := robust(runs[:1], "codes")) is not None]
    if not drawn:
        return
    fig, panels = plt.subplots(1, len(drawn), figsize=(5.5 * len(drawn), 5), layout="constrained", squeeze=False)
    for panel, (name, codes, labels) in zip(panels[0], drawn):
        for k in range(10):
            panel.scatter(*codes[labels == k].T, s=3, color=plt.cm.tab10(k), label=str(k))
        panel.set(title=NAMES.get(name.partition(".")[0], name), xlabel="mean of z, dimension 1", ylabel="dimension 2")
    panels[0][0].legend(markerscale=4, fontsize=7, title="digit")
    save(fig, output)


def run(o):
    with h5py.File(o.data) as f:
        images, labels = f["test/images"][()].astype(np.float32)[:, 0] / 255, f["test/labels"][()]
    others = {f"{os.path.splitext(os.path.basename(path))[0]}, grey": grey(path, images.shape[1:], len(images)) for path in o.others}
    plan = os.path.basename(os.path.normpath(o.runs))
    rows, done = load(os.path.join(o.results, plan)), 0
    for kept in (r for runs in rows.values() for r in runs if not r.failed):
        folder, target = os.path.join(o.runs, os.path.basename(kept.folder)), os.path.join(kept.folder, "robust.h5")
        if os.path.isdir(folder) and (o.again or not os.path.exists(target)):
            write(target, measure(Network(folder, kept.options), images, labels, others))
            print(target, flush=True)
        done += os.path.exists(target)
    if not done:
        sys.exit(f"analysis: {o.results}/{plan}: none of these runs is in {o.runs}")
    draw(rows, os.path.join(o.results, f"{plan}-robust.png"))
    draw_codes(rows, os.path.join(o.results, f"{plan}-codes.png"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs")
    p.add_argument("--data", required=True, help="the data file that they were trained on")
    p.add_argument("--others", nargs="*", default=[], help="data files of images of other kinds")
    p.add_argument("--results", default="analysis/results")
    p.add_argument("--again", action="store_true", help="also of runs that have been measured")
    o = p.parse_args()
    guarded(lambda: run(o), "a data file, and runs of task ib?")
