"""Puts runs side by side: the options in which they differ, what they have come to, and their curves over each other."""
import argparse

import numpy as np
from common import guarded, save, table
from curves import draw_all
from runs import LAYERS, Run

# What the runs have come to: name, series; means over the last fiftieth.
FIGURES = [("loss, nat", "loss"), ("test error, %", "test_error"), ("bound, nat", "bound"), ("norm of the gradient", "gradient_norm"),
           ("deviation of the code", "code_deviation"), ("dimensions that the code fills", "code_dimensions"),
           ("images a second", "images_per_second")]


def number(x):
    return "" if not np.isfinite(x) else f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"


def rows(runs):
    names = sorted({n for r in runs for n in r.options} - {"out"})
    differ = [n for n in names if len({r.options.get(n) for r in runs}) > 1]
    lines = [[n, *(r.options.get(n, "") for r in runs)] for n in differ]
    lines += [["state", *(r.state() for r in runs)], ["steps done", *(r.step for r in runs)], ["epochs", *(f"{r.epoch:.4g}" for r in runs)],
              ["ranks", *(r.ranks for r in runs)]]
    lines += [[title, *(number(r.last(name)) for r in runs)] for title, name in FIGURES if any(name in r.series for r in runs)]
    for layer in LAYERS:
        for kind in "trained", "untrained":
            if any((kind, layer) in r.accuracy for r in runs):
                lines.append([f"accuracy of {layer}, {kind}, %", *(number(r.accuracy.get((kind, layer), np.nan)) for r in runs)])
    return table(["", *(r.name for r in runs)], lines)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    p.add_argument("-o", "--output", metavar="PNG", help="picture of the curves to write (or .pdf, .svg)")
    o = p.parse_args()

    def command():
        runs = [Run(folder) for folder in o.runs]
        print("\n".join(rows(runs)))
        if o.output:
            save(draw_all(runs), o.output)

    guarded(command, "is each RUN a folder that `mige train` wrote?")


if __name__ == "__main__":
    main()
