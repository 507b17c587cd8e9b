"""Figure 1 of the MIGE paper, from files of `mige toy`: mutual information and its gradient by the correlation, the
truth and each method, a column for each number of dimensions; and its table, as Markdown beside the picture.

Several files are put together: critics take longer, so they may have a run, correlations and a number of repeats of
their own. A method that is in two of them is taken from the first; MIGE by another estimator is another method. A run can still be going on: what is not done yet
is left out."""
import argparse
import itertools

import matplotlib.pyplot as plt
import numpy as np
from common import beside, file_of, guarded, options, save, text

METHODS = {  # colour, name
    "mige": ("C1", "MIGE"),
    "mine": ("C0", "MINE"),
    "mine-f": ("C2", "MINE-f"),
    "mine-joint": ("C5", "MINE, joint critic trained out"),
    "mine-f-joint": ("C4", "MINE-f, joint critic trained out"),
    "infonce": ("C8", "InfoNCE, trained out"),
}
MORE_COLOURS = itertools.cycle(("C3", "C6", "C7"))  # of MIGE by other estimators
# Relative RMSE of the authors' own result files, one draw; 256 samples, 32 correlations from -0.8 to 0.8.
PUBLISHED = {(8, "mige"): 0.059, (8, "mine"): 0.152, (8, "mine-f"): 0.415, (16, "mige"): 0.116, (16, "mine"): 0.405,
             (16, "mine-f"): 0.589, (32, "mige"): 0.280, (32, "mine"): 0.752, (32, "mine-f"): 0.818}
SHARED = ("samples", "problem", "rotate")  # what files that are put together must have alike


def estimator(o):
    """What MIGE's scores came from, in words."""
    name = o["estimator"] + (f", threshold {o['threshold']}" if o["estimator"] == "ssge" else "")
    return ", ".join([name, *(f"{k} {o[k]}" for k in ("calibrate", "precondition") if o.get(k, "none") != "none")])


class Figure:
    """truth[d] = (rho, mi, gradient), of the finest grid; found[d][method] = {"rho": [n], "truth": gradient [n],
    "gradient": [repeats, n], "mi": ..., "steps": ...}."""

    def __init__(self, names):
        self.truth, self.found, self.options = {}, {}, None
        for name in names:
            with file_of("toy", name) as f:
                self.add(name, f)

    def add(self, name, f):
        o = options(text(f.attrs["config"]))
        if self.options is None:
            self.options = o
        for key in SHARED:
            if o.get(key) != self.options.get(key):
                raise OSError(f"{name}: --{key} {o.get(key)}, the first file has {self.options.get(key)}")
        rho = f["rho"][()]
        for group in (g for g in f if g.startswith("d")):
            d = int(group[1:])
            truth = rho, f[group]["true_mi"][()], f[group]["true_gradient"][()]
            if d not in self.truth or len(rho) > len(self.truth[d][0]):
                self.truth[d] = truth
            for method in [m for m in f[group] if m in METHODS]:
                numbers = {"rho": rho, "truth": truth[2], **{k: v[()] for k, v in f[group][method].items()}}
                if method == "mige" and estimator(o) != estimator(self.options):
                    method = estimator(o)
                    if method not in METHODS:
                        METHODS[method] = next(MORE_COLOURS), f"MIGE by {method}"
                if np.isfinite(numbers["gradient"]).any():
                    self.found.setdefault(d, {}).setdefault(method, numbers)
        self.dims = sorted(self.truth)

    def rho(self):
        """The finest grid of correlations."""
        return max((truth[0] for truth in self.truth.values()), key=len)

    def methods(self, d):
        return [m for m in METHODS if m in self.found.get(d, {})]

    def settings(self):
        o = self.options
        problem = "correlated Gaussians" if o["problem"] == "gaussian" else f"problem {o['problem']}"
        rotated = ", rotated" if o["rotate"] == "yes" else ""
        return f"{problem}{rotated}, {o['samples'] or 256} samples, MIGE by {estimator(o)}"

    def unfinished(self):
        return sum(int(np.isnan(n["gradient"]).sum()) for of_d in self.found.values() for n in of_d.values())


def mean_of(rows):
    """Mean over repeats of what is there, and whether there is anything."""
    good = np.isfinite(rows).any(0)
    return np.nanmean(rows[:, good], 0), good


def draw_rows(ax, rho, rows, method):
    color, name = METHODS[method]
    for row in rows:
        ax.plot(rho, row, color=color, alpha=min(0.3, 2 / len(rows)), lw=0.7)
    y, good = mean_of(rows)
    ax.plot(rho[good], y, color=color, lw=1.8, label=name)


def draw(fig1):
    n = len(fig1.dims)
    fig, axes = plt.subplots(2, n, figsize=(max(3.1 * n, 6.5), 6.6), layout="constrained", squeeze=False, sharex=True)
    for k, d in enumerate(fig1.dims):
        for row, (name, truth) in enumerate(zip(("mi", "gradient"), fig1.truth[d][1:])):
            ax = axes[row, k]
            for method in fig1.methods(d):
                numbers = fig1.found[d][method]
                if name in numbers:
                    draw_rows(ax, numbers["rho"], numbers[name], method)
            ax.plot(fig1.truth[d][0], truth, "k--", lw=1.3, label="truth", zorder=5)
            # A bound can be far out where its critic diverged; the truth says what is of interest.
            low, high = truth.min(), truth.max()
            ax.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))
            ax.grid(alpha=0.25)
            if row == 0:
                ax.set_title(f"{d} dimensions", fontsize=11)
    axes[0, 0].set_ylabel("mutual information I [nat]")
    axes[1, 0].set_ylabel("gradient dI/dρ [nat]")
    for ax in axes[1]:
        ax.set_xlabel("correlation ρ")
    handles = {}
    for ax in axes.flat:
        for line, label in zip(*ax.get_legend_handles_labels()):
            handles.setdefault(label, line)
    order = ["truth", *(name for _, name in METHODS.values())]
    labels = [label for label in order if label in handles]
    columns = min(len(labels), 2 * n)
    lines = -(-len(labels) // columns)
    below = (0.1 + 0.22 * lines) / fig.get_figheight()
    fig.get_layout_engine().set(rect=(0, below, 1, 1 - below))  # the legend's place
    fig.legend([handles[label] for label in labels], labels, loc="lower center", ncol=columns, fontsize=10, frameon=False)
    fig.suptitle(fig1.settings() + "\nfaint: single repeats, strong: their mean", fontsize=11)
    return fig


def deviation(x):
    return np.std(x, ddof=1) if len(x) > 1 else np.nan


def statistics(rho, gradient, truth):
    """Of the repeats that are whole: relative RMSE over the grid; and at the ends of the grid the relative bias and
    the deviation over repeats."""
    whole = gradient[np.isfinite(gradient).all(1)]
    if not len(whole):
        return None
    error = np.sqrt(((whole - truth) ** 2).mean(1) / (truth**2).mean())
    ends = np.abs(rho) > np.abs(rho).max() - 1e-9
    ratio = whole[:, ends] / truth[ends]
    spread = np.sqrt(np.mean([deviation(r) ** 2 for r in ratio.T]))
    return len(whole), error.mean(), deviation(error), ratio.mean() - 1, spread


def value(numbers, truth):
    """I at the largest correlation, where the method gives it: mean and deviation over repeats, beside the truth."""
    if "mi" not in numbers:
        return ""
    found = numbers["mi"][:, np.argmax(np.abs(numbers["rho"]))]
    found = found[np.isfinite(found)]
    if not len(found):
        return "-"
    spread = f" ± {deviation(found):.2f}" if len(found) > 1 else ""
    return f"{found.mean():.2f}{spread} of {truth:.2f} nat"


def number(x, fmt=".3f"):
    return format(x, fmt) if np.isfinite(x) else "-"


def is_published_setting(fig1, rho):
    o = fig1.options
    grid = len(rho) == 32 and np.allclose(rho[[0, -1]], [-0.8, 0.8])
    return grid and (o["samples"] or "256") == "256" and o["problem"] == "gaussian"


def table(fig1):
    rho = max(np.abs(truth[0]).max() for truth in fig1.truth.values())
    lines = [fig1.settings() + ".", "",
             "Relative RMSE of dI/dρ over the correlations: mean and standard deviation over repeats; beside it what the "
             "authors' own result files give. Bias and standard deviation over repeats at the largest "
             f"|ρ| ({rho:g}), relative to the truth; and the value of I there.", "",
             "| d | method | correlations | repeats | relative RMSE | published | bias | deviation | training steps | I |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for d in fig1.dims:
        most = fig1.truth[d][1][np.argmax(np.abs(fig1.truth[d][0]))]
        for method in fig1.methods(d):
            numbers = fig1.found[d][method]
            s = statistics(numbers["rho"], numbers["gradient"], numbers["truth"])
            start = f"| {d} | {METHODS[method][1]} | {len(numbers['rho'])} |"
            if s is None:
                lines.append(f"{start} 0 | unfinished | | | | | |")
                continue
            published = PUBLISHED.get((d, method), np.nan) if is_published_setting(fig1, numbers["rho"]) else np.nan
            steps = number(np.nanmean(numbers["steps"]), ",.0f") if "steps" in numbers else ""
            error = f"{s[1]:.3f}" + (f" ± {s[2]:.3f}" if np.isfinite(s[2]) else "")
            lines.append(f"{start} {s[0]} | {error} | {number(published)} | {s[3]:+.3f} | {number(s[4])} | {steps} | {value(numbers, most)} |")
    if fig1.unfinished():
        lines += ["", f"{fig1.unfinished()} estimates are not done yet; the table has whole repeats only."]
    return lines


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="+", metavar="F.h5", help="file of mige toy")
    p.add_argument("-o", "--output", default="figure1.png", metavar="PNG",
                   help="picture to write (or .pdf, .svg); the table goes beside it, as .md")
    o = p.parse_args()

    def command():
        fig1 = Figure(o.files)
        save(draw(fig1), o.output)
        beside(o.output, table(fig1))
        print("\n".join(table(fig1)))

    guarded(command, "is each F.h5 a file that `mige toy` wrote?")
