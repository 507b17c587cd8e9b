"""Draws training runs of mige: the curves of RUN/metrics.h5 and, where RUN/probe.h5 is, the accuracies of the probe.

A run can still be going on. Several runs are drawn over each other."""
import argparse

import matplotlib.pyplot as plt
import numpy as np
from common import guarded, save
from runs import LAYERS, Run, smooth

# The panels: title, and the ends of the names of the series in them; those of which a run has none, or zeros, are left out. Four
# of them find room.
PANELS = [
    ("Loss (of scores: a surrogate)", ["loss"]),
    ("Test error", ["test_error"]),
    ("Bound on the mutual information, in a batch", ["bound"]),
    ("Standard deviation of the code z", ["code_deviation"]),
    ("Share of Stein's identity kept", ["_stein"]),
    ("Eigenpairs kept, J", ["_eigen"]),
    ("Cost of the code, KL", ["rate"]),
    ("Cross entropy", ["cross_entropy"]),
    ("Norm of the gradient", ["gradient_norm"]),
    ("Learning rate", ["learning_rate"]),
    ("Kernel width", ["_width"]),
    ("Training images a second", ["images_per_second"]),
]
STYLES = ["-", "--", ":", "-."]  # of score problems
GREYS = ["0.72", "0.85", "0.6", "0.8"]  # of untrained encoders


def panels(runs, most):
    """(title, names) of those that have something to show."""
    found = []
    for title, ends in PANELS:
        names = sorted({n for r in runs for end in ends for n in r.named(end) if len(r.series[n]) and np.any(r.series[n])})
        if names:
            found.append((title, names))
    return found[:most]


def draw_curves(ax, title, names, runs):
    unit, lines, shown = "1", 0, {}
    for k, run in enumerate(runs):
        for place, name in enumerate(names):
            if name not in run.series:
                continue
            x = run.steps[name]
            problem = name.split("_")[0] if len(names) > 1 else ""
            label, style = (f"score of {problem}", STYLES[place % len(STYLES)]) if problem else (run.name, "-")
            color = f"C{k}" if len(runs) > 1 else f"C{lines}"
            y = run.series[name]
            ax.plot(x, y, color=color, alpha=0.2, lw=0.8)
            line = ax.plot(x, smooth(y), style, color=color, lw=1.6)[0]
            if problem and label not in shown:
                shown[label] = line if len(runs) == 1 else plt.Line2D([], [], color="0.3", ls=style)
            unit = run.units[name]
            lines += 1
    ax.set_title(f"{title} [{unit}]" if unit not in ("1", "") else title, fontsize=11)
    ax.grid(alpha=0.25)
    if names[0].endswith("_eigen"):
        ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
    elif names[0].endswith("_stein"):
        ax.set_ylim(0, max(1.05, ax.get_ylim()[1]))
    elif names[0] in ("learning_rate", "images_per_second"):
        ax.set_ylim(0, 1.1 * max(r.series[names[0]].max() for r in runs if len(r.series[names[0]])))
    if shown:
        ax.legend(shown.values(), shown.keys(), fontsize=9, framealpha=0.85)


def draw_accuracy(ax, runs):
    runs = [r for r in runs if r.accuracy]
    layers = [layer for layer in LAYERS if any(layer in key for r in runs for key in r.accuracy)]
    bars, untrained = [], []  # label, colour, run, kind; the accuracies of untrained encoders so far
    for k, run in enumerate(runs):
        alone = len(runs) == 1
        # With one --seed the untrained encoder is the same in each run; it is drawn where it is another.
        values = [run.accuracy.get(("untrained", layer)) for layer in layers]
        if any(v is not None for v in values) and values not in untrained:
            label = f"untrained, {run.name}" if untrained else "untrained"
            bars.append((label, GREYS[len(untrained) % len(GREYS)], run, "untrained"))
            untrained.append(values)
        bars.append(("trained" if alone else run.name, f"C{k}", run, "trained"))
    width = 0.8 / len(bars)
    for i, (label, color, run, kind) in enumerate(bars):
        at = [j + (i - (len(bars) - 1) / 2) * width for j in range(len(layers))]
        y = np.array([run.accuracy.get((kind, layer), np.nan) for layer in layers])
        error = np.sqrt(y * (100 - y) / max(run.test_images, 1))
        ax.bar(at, y, width * 0.94, color=color, label=label, yerr=error, ecolor="0.35", capsize=2.5, error_kw={"lw": 0.9})
        for x, value, e in zip(at, y, error):
            if np.isfinite(value):
                ax.text(x, value + e + 0.6, f"{value:.1f}", ha="center", va="bottom", fontsize=10 if len(bars) < 4 else 8)
    ax.set_xticks(range(len(layers)), layers)
    ax.set_ylim(0, 1.18 * max(v for r in runs for v in r.accuracy.values()))
    ax.set_title("Test accuracy of a classifier\non the frozen features [%]", fontsize=11)
    ax.set_xlabel(f"layer of the encoder ({runs[0].test_images} test images; bars: standard error)", fontsize=9)
    ax.grid(axis="y", alpha=0.25)
    ax.set_axisbelow(True)
    ax.legend(fontsize=9, loc="upper right", framealpha=0.85)


def draw(runs):
    probed = any(r.accuracy for r in runs)
    fig = plt.figure(figsize=(12.5 if probed else 8.5, 6.8), layout="constrained")
    grid = fig.add_gridspec(2, 3 if probed else 2, width_ratios=[1, 1, 1.15][: 3 if probed else 2])
    for k, (name, names) in enumerate(panels(runs, 4)):
        ax = fig.add_subplot(grid[k // 2, k % 2])
        draw_curves(ax, name, names, runs)
        if k >= 2:
            ax.set_xlabel("training step")
    if probed:
        draw_accuracy(fig.add_subplot(grid[:, 2]), runs)
    head(fig, runs)
    return fig


def draw_all(runs):
    """All panels, three in a row."""
    found = panels(runs, len(PANELS))
    rows = -(-len(found) // 3)
    fig, axes = plt.subplots(rows, 3, figsize=(12, 0.6 + 3 * rows), layout="constrained", squeeze=False)
    for ax in axes.flat[len(found):]:
        ax.set_axis_off()
    for ax, (name, names) in zip(axes.flat, found):
        draw_curves(ax, name, names, runs)
        ax.set_xlabel("training step")
    if len(runs) > 1:
        head(fig, runs)
    return fig


def head(fig, runs):
    if len(runs) > 1:
        lines = [plt.Line2D([], [], color=f"C{k}", lw=2) for k in range(len(runs))]
        fig.axes[0].legend(lines, [r.name for r in runs], fontsize=9, framealpha=0.85)
        fig.suptitle("Encoders trained by mige", fontsize=12)
    else:
        fig.suptitle("Encoder trained by mige\n" + runs[0].settings(), fontsize=12)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    p.add_argument("-o", "--output", required=True, metavar="PNG", help="picture to write (or .pdf, .svg)")
    o = p.parse_args()
    guarded(lambda: save(draw([Run(folder) for folder in o.runs]), o.output), "is each RUN a folder that `mige train` wrote?")
