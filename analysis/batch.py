"""What a larger batch, and a more accurate gradient, buy the features: accuracies against the batch, from what jobs/study.py has kept of
batch.plan; a table and, beside it, a picture."""
import argparse
import os
import sys

import numpy as np
from common import COLOURS, plt, save, table
from kept import LAYERS, average, load, mean, shared_epochs, write
from table1 import cells, epochs_of

KINDS = {"stein": "iterated Tikhonov, calibrated", "ssge-calibrated": "SSGE, calibrated", "ssge": "SSGE as published"}
ENDS = "stein", "ssge"
NOTE = ("Two views, CIFAR-10; test accuracy, %, of the probe's last epoch, in brackets of its best. The learning rate goes with the square "
        "root of the batch. Series are means over the last tenth of the steps: of the scores of (z1, z2) J, the eigenpairs in use, and the share "
        "of Stein's identity that they keep before calibration.")


def kinds(rows):
    """(kind, batch, runs), by kind and batch."""
    named = ((*name.partition(".")[::2], runs) for name, runs in rows.items())
    order = list(KINDS)
    return sorted(((kind, int(batch), runs) for kind, batch, runs in named if kind in KINDS and batch.isdigit()), key=lambda x: (order.index(x[0]), x[1]))


def lines_of(rows):
    lines = []
    for kind, batch, runs in kinds(rows):
        for e in epochs_of(runs):
            there = [r for r in runs if e in r.probes]
            ends = [mean([r.end(series, e) for r in there], digits) for series, digits in
                    (("z1z2_eigen", 0), ("z1z2_stein", 3), ("code_deviation", 2), ("images_per_second", 0))]
            lines.append([KINDS[kind], f"{batch:,}", e, there[0].stages[e]["steps"], *cells(there, e), *ends])
    return lines


def answer(rows):
    """What an accurate gradient is worth: Y at each batch, after the most epochs that all have; as a sentence."""
    found = [k for k in kinds(rows) if k[0] in ENDS]
    e = shared_epochs([runs for _, _, runs in found])
    of = {kind: {b: a for k, b, runs in found if k == kind and (a := average([r.accuracy(e, "y") for r in runs])) is not None} for kind in ENDS}
    both = sorted(set.intersection(*map(set, of.values())))
    if not both:
        return []
    gains = [of["stein"][b] - of["ssge"][b] for b in both]
    ways = [f"{of[kind][both[0]]:.1f} to {of[kind][both[-1]]:.1f} with {KINDS[kind]}" for kind in ENDS]
    return [f"After {e} epochs, from batches of {both[0]:,} to {both[-1]:,}, the accuracy of Y goes from {' and from '.join(ways)}: an accurate "
            f"gradient is worth {min(gains):.1f} to {max(gains):.1f} points at the same batch.", ""]


def draw(rows, output):
    """At equal epochs: the most that all batches of a kind have."""
    fig, panels = plt.subplots(1, len(LAYERS), figsize=(13, 3.8), layout="constrained")
    batches = sorted({b for _, b, _ in kinds(rows)})
    for i, kind in enumerate(KINDS):
        found = [(b, runs) for k, b, runs in kinds(rows) if k == kind]
        e = shared_epochs([runs for _, runs in found])
        for panel, layer in zip(panels, LAYERS if e else ()):
            values = [average([r.accuracy(e, layer) for r in runs]) for _, runs in found]
            panel.semilogx([b for b, _ in found], [np.nan if v is None else v for v in values], marker="o^s"[i], color=COLOURS[i],
                           label=f"{KINDS[kind]}, {e} epochs")
    for panel, layer in zip(panels, LAYERS):
        panel.set(title=layer, xlabel="global batch", ylabel="test accuracy, %")
        panel.set_xscale("log")
        panel.set_xticks(batches, [f"{b:,}" for b in batches])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=9)
    save(fig, output)


def report(rows, picture="batch.png"):
    heads = ["estimator", "batch", "epochs", "steps", *LAYERS, "J", "Stein share", "deviation of z", "images/s"]
    return [NOTE, "", *answer(rows), f"![Accuracy against the batch]({picture})", "", *table(heads, lines_of(rows))]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--results", default="analysis/results")
    o = p.parse_args()
    rows = load(os.path.join(o.results, "batch"))
    if not kinds(rows):
        sys.exit(f"analysis: {o.results}/batch: nothing is kept there")
    draw(rows, os.path.join(o.results, "batch.png"))
    write(report(rows), os.path.join(o.results, "batch.md"))
