"""Table 1, and past it: accuracy of classifiers on frozen features, from what jobs/study.py has kept, beside the published."""

import os

import numpy as np
from common import table
from kept import LAYERS, command, load, mean

# Wen et al., ICLR 2020, Table 1: test accuracy, percent, of conv, fc, Y.
PUBLISHED = {
    "cifar10": {"jsd": (55.81, 45.73, 40.67), "jsd-pm": (52.2, 52.84, 43.17), "infonce": (51.82, 42.81, 37.79),
                "infonce-pm": (56.77, 49.42, 42.68), "mige": (57.95, 57.09, 53.75)},
    "cifar100": {"jsd": (28.41, 22.16, 16.50), "jsd-pm": (24.40, 18.22, 15.22), "infonce": (24.60, 16.54, 12.96),
                 "infonce-pm": (25.51, 20.15, 15.35), "mige": (29.86, 27.91, 25.84)},
}
NAMES = {"jsd": "DIM (JSD)", "jsd-pm": "DIM (JSD + PM)", "infonce": "DIM (infoNCE)", "infonce-pm": "DIM (infoNCE + PM)", "mige": "MIGE",
         "published": "MIGE, SSGE as published", "untrained": "untrained encoder", "supervised": "supervised encoder",
         "pixels": "pixels", "pca": "64 principal components", "projection": "random projection to 64"}
SETS = ("cifar10", "views", "CIFAR-10"), ("cifar100", "views100", "CIFAR-100")  # prefixes of the rows of one and of two views
VIEWS = {"mige": "MIGE", "infonce": "NT-Xent", "jsd": "JSD"}
NOTE = ("Test accuracy, %, of the probe's last epoch: mean over seeds ± standard deviation; in brackets of its best epoch, which is chosen "
        "on the test images.")


def epochs_of(runs):
    return sorted({e for r in runs for e in r.probes})


def cells(runs, epochs, result="accuracy", layers=LAYERS):
    runs = [r for r in runs if epochs in r.probes]
    return [mean([r.accuracy(epochs, x, result) for r in runs],
                 best=None if result == "neighbours" else [r.accuracy(epochs, x, result, best=True) for r in runs]) for x in layers]


def seeds(runs, epochs):
    return sum(epochs in r.probes for r in runs)


def one_view(rows, data):
    lines = []
    for method, title in NAMES.items():
        runs = rows.get(f"{data}-{method}", [])
        published = [f"{v:.2f}" for v in PUBLISHED[data].get(method, ())] or [""] * 3
        lines += [[title, e, seeds(runs, e), *cells(runs, e), *published] for e in epochs_of(runs)]
        if not runs and method in PUBLISHED[data]:
            lines.append([title, "", 0, *["–"] * 3, *published])
    return table(["one view", "epochs", "seeds", *LAYERS, *[f"{x}, published" for x in LAYERS]], lines)


def two_views(rows, prefix):
    lines = []
    for method, title in VIEWS.items():
        runs = rows.get(f"{prefix}-{method}", [])
        lines += [[title, e, seeds(runs, e), *cells(runs, e), *cells(runs, e, "linear_accuracy"), *cells(runs, e, "neighbours", ["y"])]
                  for e in epochs_of(runs)]
    return table(["two views", "epochs", "seeds", *LAYERS, *[f"{x}, linear" for x in LAYERS], "y, neighbours"], lines) if lines else []


def tables(rows, heading):
    lines = []
    for data, views, title in SETS:
        lines += ["", f"{heading} {title}", "", *one_view(rows, data)]
        pairs = two_views(rows, views)
        lines += ["", *pairs] if pairs else []
    return lines


def health(rows):
    """What the scores were like at the end of each stage."""
    lines = []
    for name, runs in rows.items():
        for e in epochs_of(runs):
            of = {}
            for r in runs:
                for series in r.names() if e in r.probes and r.options.get("objective") == "mige" else []:
                    if series.endswith(("_stein", "_eigen", "_score")) or series == "code_deviation":
                        of.setdefault(series, []).append(r.end(series, e))
            lines += [[name, e, series, mean(values, 3)] for series, values in of.items() if np.any(values)]
    return table(["row", "epochs", "series", "mean of the stage's last tenth"], lines)


def precisions(rows, others):
    """The rows that precision.plan trained in float, and the same rows and epochs as `auto` trained them."""
    lines, ends = [], ["code_deviation", "gradient_norm"]  # of mige, whose loss has a meaningful gradient but no meaningful value
    for name, runs in others.items():
        for e in epochs_of(runs):
            for same in runs, [r for r in rows.get(name, []) if e in r.probes]:
                trained = sorted({r.options["precision"] for r in same})
                lines.append([name, " ".join(trained), e, len(same), *cells(same, e),
                              *[mean([r.end(series, e) for r in same], 3) for series in ends]])
    return table(["row", "precision", "epochs", "seeds", *LAYERS, *ends], lines)


def tuning(rows):
    lines = []
    for name, runs in rows.items():
        for r in runs:
            if r.failed:
                lines.append([name, r.more, "", "failed", "", "", ""])
            for e in sorted(r.probes):
                values = [r.accuracy(e, x) for x in LAYERS]
                lines.append([name, r.more, e, *[f"{v:.2f}" for v in values], f"{np.mean(values):.2f}"])
    return table(["trial", "options", "epochs", *LAYERS, "mean"], lines)


def report(rows, results):
    lines = [NOTE, *tables(rows, "##")]
    others = load(os.path.join(results, "precision"))
    if others:
        lines += ["", "## bfloat16 against float", "", *precisions(rows, others)]
    return [*lines, "", "## The scores", "", *health(rows)]


def main():
    command(__doc__, "table1", report, tuning)
