"""The first page of RESULTS.md: the paper's figure and tables beside what mige gives, and error against samples.

  python3 -m analysis results [--results analysis/results] [-o analysis/RESULTS.md]

From what is kept in RESULTS: figure1.h5, contest.h5 (mige toy), error-*.h5 (mige scale), table1/, batch/ and table2/ (jobs/study.py). What is not there
is left out. Pictures go beside those."""
import argparse
import glob
import os
import sys

import batch
import figure1
import h5py
import matplotlib.pyplot as plt
import numpy as np
import scaling
import table1
import table2
from common import replace_section, save, text
from kept import LAYERS, average, load, shared_epochs

TITLE = "# Results at a glance"


def at_equal_epochs(rows, names):
    """{name: {layer: mean accuracy, or None}} of the rows that are kept, after the most epochs that all of these have; the epochs."""
    there = [n for n in names if n in rows]
    e = shared_epochs([rows[n] for n in there])
    return {n: {x: average([r.accuracy(e, x) for r in rows[n]]) for x in LAYERS} for n in there if e}, e


def accuracies(values):
    return " / ".join("–" if values[x] is None else f"{values[x]:.1f}" for x in LAYERS)


def command(file):
    """What made it, wherever it was written to."""
    with h5py.File(file) as f:
        words = text(f.attrs["command_line"]).split()
    return " ".join(words[:words.index("--output")] + ["--output", os.path.basename(file)]) if "--output" in words else " ".join(words)


def gradients(results, name, heading):
    """A file of mige toy: its picture, beside it, and its table."""
    file = os.path.join(results, f"{name}.h5")
    if not os.path.exists(file):
        return []
    found = figure1.Figure([file])
    picture = [f"![{heading}](results/{name}.png)", ""] if len(found.rho()) > 1 else []
    if picture:
        save(figure1.draw(found), os.path.join(results, f"{name}.png"))
    about, *table = figure1.table(found)
    return ["", f"## {heading}", "", *picture, f"Made by `{command(file)}`: {about}", *table]


def draw_errors(series, name):
    fig, ax = plt.subplots(figsize=(6.5, 4.4), layout="constrained")
    for s, marker in zip(series, scaling.MARKERS):
        cases = scaling.errors(s)
        ax.loglog([c.M for c in cases], [100 * c.error for c in cases], marker=marker, label=s.name)
    ax.set(xlabel="samples M (the global batch)", ylabel="relative RMSE of dI/dρ, %")
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize=8)
    save(fig, name)


def error_against_samples(results):
    files = sorted(glob.glob(os.path.join(results, "error-*.h5")))
    if not files:
        return []
    series = scaling.load(files)
    draw_errors(series, os.path.join(results, "error.png"))
    lines = ["", "## Error against the number of samples", "", "![Error against samples](results/error.png)", ""]
    for s in series:
        first, last = scaling.errors(s)[0], scaling.errors(s)[-1]
        lines.append(f"- {s.name}: {100 * first.error:.2g} % of the gradient at M = {first.M:,}, {100 * last.error:.2g} % at {last.M:,}.")
    return lines


def one_view(rows, data, title):
    found, epochs = at_equal_epochs(rows, [f"{data}-{name}" for name in table1.PUBLISHED[data]])
    mige = found.pop(f"{data}-mige", None)
    if not mige:
        return []
    published = accuracies(dict(zip(LAYERS, table1.PUBLISHED[data]["mige"])))
    rivals = {x: max((r[x] for r in found.values() if r[x] is not None), default=None) for x in LAYERS}
    beside = f"; the best of {len(found)} critics in each column {accuracies(rivals)}" if found else ""
    return [f"- {title}, one view, {epochs} epochs: conv / fc / Y {accuracies(mige)} by MIGE (published {published}){beside}."]


def two_views(rows, prefix, title):
    """A line for each number of epochs that several methods have."""
    named = [(name, rows.get(f"{prefix}-{method}", [])) for method, name in table1.VIEWS.items()]
    lines = []
    for e in sorted({e for _, runs in named for e in table1.epochs_of(runs)}):
        there = [(name, [r for r in runs if e in r.probes]) for name, runs in named]
        said = [f"{name} {accuracies({x: average([r.accuracy(e, x) for r in runs]) for x in LAYERS})} (seeds: {len(runs)})" for name, runs in there if runs]
        lines += [f"- {title}, two views, {e} epochs: {', '.join(said)}."] if len(said) > 1 else []
    return lines


def images(results):
    rows = load(os.path.join(results, "table1"))
    if not rows:
        return []
    lines = ["", "## Table 1: what the features are worth", "", f"{table1.NOTE} More in [results/table1.md](results/table1.md).", ""]
    for data, views, title in table1.SETS:
        lines += one_view(rows, data, title) + two_views(rows, views, title)
    return lines + table1.tables(rows, "###")


def bottleneck(results):
    rows = load(os.path.join(results, "table2"))
    if not rows:
        return []
    return ["", "## Table 2: information bottleneck, permutation-invariant MNIST", "", f"{table2.NOTE} More in "
            "[results/table2.md](results/table2.md).", "", *table2.main_table(rows), *table2.distance(rows)]


def batches(results):
    rows = load(os.path.join(results, "batch"))
    if not batch.kinds(rows):
        return []
    batch.draw(rows, os.path.join(results, "batch.png"))
    return ["", "## Large batches, accurate gradients", "", *batch.report(rows, "results/batch.png")]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--results", default="analysis/results")
    p.add_argument("-o", "--output", default="analysis/RESULTS.md")
    o = p.parse_args()
    parts = [*images(o.results), *batches(o.results), *bottleneck(o.results),
             *gradients(o.results, "figure1", "Figure 1: gradients of mutual information, correlated Gaussians"),
             *gradients(o.results, "contest", "Two nats a dimension: where bounds by critics stop"),
             *error_against_samples(o.results)]
    if not parts:
        sys.exit(f"analysis: {o.results}: nothing is kept there ({o.output} is left as it is)")
    about = "Made from kept files by `python3 -m analysis results`; each file holds the options that made it."
    replace_section(o.output, [TITLE, "", about, *parts], first=True)
    print(f"results: written to {o.output}")
