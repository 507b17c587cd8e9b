"""Pictures of how a run did: where the time went, how the code fills its dimensions, what it looks like; and advice."""
import os
import shlex
import shutil
import subprocess
import tempfile

import h5py
import matplotlib.pyplot as plt
import numpy as np
from common import table

# Parts of a step, the rest of it, and what is outside; a score's parts stand for themselves.
PARTS = {"load": "load", "forward": "forward", "gather": "scores", "score": "scores", "backward": "backward",
         "all-reduce": "all-reduce", "update": "update", "output": "output"}
INSIDE = "gram", "eigen", "apply"  # of score
ORDER = "load", "forward", "gather", "score", *INSIDE, "backward", "all-reduce", "update", "step", "output"
MARKERS = "o^sDvPX*<>"
POINTS = 3000


def phases(run):
    """{phase: seconds of each interval}; the steps of each interval."""
    found = {n[8:]: run.series[n] for n in run.series if n.startswith("seconds_")}
    steps = run.steps["seconds_step"] if found else np.empty(0)
    return found, np.diff(steps, prepend=0)


def draw_phases(run):
    seconds, steps = phases(run)
    parts = {}
    for phase, part in PARTS.items():
        parts[part] = parts.get(part, 0) + seconds[phase]
    outside = parts.pop("output")
    parts["rest of the step"] = np.maximum(seconds["step"] - sum(parts.values()), 0)
    parts["output"] = outside
    ends = run.steps["seconds_step"]
    edges, per_step = np.repeat(np.concatenate([[0], ends]), 2)[1:-1], {n: 1e3 * s / steps for n, s in parts.items()}
    fig, ax = plt.subplots(figsize=(10, 4.2), layout="constrained")
    ax.stackplot(edges, [np.repeat(v, 2) for v in per_step.values()], labels=per_step, edgecolor="white", lw=0.6,
                 colors=[f"C{k}" for k in range(len(per_step))])
    ax.set(xlabel="training step", ylabel="milliseconds a step, rank 0", xlim=(0, ends[-1]), ylim=(0, None))
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    ax.set_title("Time of a step by phase", fontsize=11)
    return fig


def phase_rows(run):
    seconds, steps = phases(run)
    whole = seconds["step"].sum() + seconds["output"].sum()
    return table(["phase", "seconds", "share, %", "ms a step"],
                 [[f"– {n}" if n in INSIDE else n, f"{s.sum():.2f}", f"{100 * s.sum() / whole:.1f}", f"{1e3 * s.sum() / steps.sum():.2f}"]
                  for n, s in ((n, seconds[n]) for n in ORDER) if s.sum()])


def draw_spectrum(run):
    names = sorted((n for n in run.series if n.startswith("code_eigenvalue_")), key=lambda n: int(n[16:]))
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for k, name in enumerate(names):
        color = plt.cm.viridis(0.9 * k / max(1, len(names) - 1))
        shares = np.where(run.series[name] > 1e-9, run.series[name], np.nan)  # a batch smaller than the code leaves zeros
        left.semilogy(run.steps[name], shares, "-o", ms=3, color=color, label=name[16:])
    left.set(xlabel="training step", ylabel="share of the variance")
    left.set_title("Eigenvalues of the code's covariance in a batch", fontsize=11)
    left.legend(title="number", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    right.plot(run.steps["code_dimensions"], run.series["code_dimensions"], "-o", ms=3)
    right.axhline(int(run.options["code"]), color="0.5", lw=1, ls="--", label="dimensions of the code")
    right.set(xlabel="training step", ylabel="(Σλ)² / Σλ² [dimensions]", ylim=(0, 1.08 * int(run.options["code"])))
    right.set_title("Dimensions that the code fills", fontsize=11)
    right.legend(frameon=False, loc="lower right")
    for ax in left, right:
        ax.grid(alpha=0.25)
    return fig


def find_mige():
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    built = os.path.join(here, "build", "mige")
    return built if os.path.exists(built) else shutil.which("mige") or ""


class Codes:
    """Codes of the test images by the newest checkpoint: values [n][code], labels [n], names. Made by `mige encode`."""

    def __init__(self, run, mige):
        with tempfile.TemporaryDirectory() as folder:
            output = os.path.join(folder, "codes.h5")
            r = subprocess.run([*shlex.split(mige), "encode", "--run", run.folder, "--layers", "y", "--output", output, "--quiet"],
                               capture_output=True, text=True)
            if r.returncode:
                raise OSError((r.stderr.strip().splitlines() or ["mige encode failed"])[-1])
            with h5py.File(output, "r") as f:
                self.values, self.labels = f["test/y"][()].astype(float), f["test/labels"][()]
                names = f["class_names"][()] if "class_names" in f else np.unique(self.labels)
        self.names = [n.decode() if isinstance(n, bytes) else str(n) for n in names]


def draw_codes(codes):
    centred = codes.values - codes.values.mean(0)
    _, s, axes = np.linalg.svd(centred, full_matrices=False)
    points, share = (centred @ axes[:2].T)[:POINTS], s**2 / (s**2).sum()
    fig, (left, right) = plt.subplots(1, 2, figsize=(11.5, 5), layout="constrained", width_ratios=[1.7, 1])
    few = len(codes.names) <= len(MARKERS)
    for k in np.unique(codes.labels):
        of, how = points[codes.labels[:POINTS] == k], {"color": f"C{k % 8}" if few else plt.cm.viridis(k / len(codes.names)),
                                                       "marker": MARKERS[k % len(MARKERS)]}
        left.scatter(*of.T, s=12, alpha=0.6, lw=0, **how)
        left.scatter(*of.mean(0), s=130, edgecolor="white", label=codes.names[k] if few else None, zorder=3, **how)
    if few:
        left.legend(title="large: mean", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    left.set(xlabel=f"first principal component ({100 * share[0]:.0f} % of the variance)",
             ylabel=f"second ({100 * share[1]:.0f} %)" if len(share) > 1 else "")
    left.set_title(f"Codes of {len(points)} test images, by class", fontsize=11)
    right.semilogy(np.arange(1, len(share) + 1), np.maximum(share, 1e-12), "-o", ms=3)
    right.set(xlabel="number of the component", ylabel="share of the variance")
    right.set_title("Spectrum of their covariance", fontsize=11)
    right.grid(alpha=0.25)
    return fig


def advice(run):
    """What to do next, as lines of text; commands between backquotes."""
    lines, state, o = [], run.state(), run.options
    again = ("mpirun -np %d " % run.ranks if run.ranks > 1 else "") + run.about["command_line"].replace(" --resume", "") + " --resume"
    if state == "running":
        lines.append(f"It is still running, at step {run.step} of {run.last_step() or '?'}: `mige watch {run.folder}` shows its curves.")
    elif state == "stopped":
        from_step = f"from step {run.checkpoints()[-1]}" if run.checkpoints() else "from the beginning: there is no checkpoint yet"
        lines.append(f"It was stopped at step {run.step} of {run.last_step() or '?'}; this goes on, {from_step}: `{again}`")
    if not np.isfinite(run.last("loss")) and run.step:
        lines.append("The loss is not finite any more: train anew with a lower `--learning-rate`.")
    for name in run.named("_stein"):
        if 0 < run.last(name) < 0.5 and o.get("calibrate", "none") == "none":
            lines.append(f"The score of {name[:-6]} keeps {100 * run.last(name):.0f} % of Stein's identity: too few samples for its dimensions. "
                         "`--calibrate scale` restores its size at no cost; a larger `--batch` or a smaller `--projection` its direction.")
    deviation, K = run.series.get("code_deviation", np.empty(0)), int(o["code"])
    if len(deviation) > 50 and deviation[-1] > 20 * deviation[len(deviation) // 10]:
        lines.append("The code grows without end (its deviation): a lower `--learning-rate`.")
    if len(deviation) and deviation[-1] < 1e-3:
        lines.append("The code has all but collapsed to a point: a lower `--learning-rate`, or another objective.")
    if run.last("code_dimensions") < 0.15 * K:
        lines.append(f"The code fills {run.last('code_dimensions'):.1f} of its {K} dimensions: fewer (`--code`) might do, or the others are not learnt "
                     "yet.")
    if run.checkpoints() and not run.accuracy and o["task"] == "infomax":
        lines.append(f"What the features are worth to a classifier is not known yet: `mige probe --run {run.folder} --untrained`")
    if run.accuracy and all(run.accuracy.get(("untrained", layer), 0) >= a for (kind, layer), a in run.accuracy.items() if kind == "trained"):
        if ("untrained", "y") in run.accuracy:
            lines.append("No layer is better than that of an untrained encoder: train longer, or with `--circumstance views`.")
    if state == "done":
        if run.accuracy and len(run.series["loss"]) > 100:
            lines.append("More epochs go on from here: the same command with larger `--epochs` and `--resume` (and `--schedule constant`).")
        lines.append(f"The features of a data file, for other programs: `mige encode --run {run.folder} --output features.h5`")
    return lines
