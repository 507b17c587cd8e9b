"""Draws files of `mige mi`: the value of the mutual information with its standard error beside the values that shuffled pairs give,
and the integrand that it is the integral of. The table goes beside the picture, as Markdown."""
import os

import matplotlib.pyplot as plt
import numpy as np
from common import file_of, files_command, options, table, text


class Value:
    def __init__(self, path):
        self.name = os.path.splitext(os.path.basename(path))[0]
        with file_of("mi", path) as f:
            self.value, self.error, self.p = (float(f.attrs[k]) for k in ("mutual_information", "standard_error", "p_value"))
            self.time, self.integrand = f["time"][()], f["integrand"][()]
            self.shuffled = f["shuffled"][()] if "shuffled" in f else np.empty(0)
            self.options = options(text(f.attrs["config"]))


def rows(values):
    bits = 1 / np.log(2)
    return table(["file", "I, nat", "± s.e.", "I, bit", "shuffles", "their mean, nat", "p"],
                 [[v.name, f"{v.value:.4f}", f"{v.error:.4f}", f"{v.value * bits:.4f}", len(v.shuffled),
                   f"{v.shuffled.mean():.4f}" if len(v.shuffled) else "", f"{v.p:.3g}" if len(v.shuffled) else ""] for v in values])


def draw(values):
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for k, v in enumerate(values):
        left.errorbar([v.value], [k], xerr=[v.error], fmt="o", color=f"C{k}", capsize=4, ms=7)
        left.plot(v.shuffled, np.full(len(v.shuffled), k), "|", color="0.35", ms=14)
        right.plot(v.time, v.integrand, "-o", color=f"C{k}", ms=3, label=v.name)
    left.axvline(0, color="0.7", lw=0.8)
    left.set_yticks(range(len(values)), [v.name for v in values])
    left.set_ylim(len(values) - 0.4, -0.6)
    left.margins(x=0.08)
    left.set_xlabel("mutual information I [nat]")
    left.set_title("Value and standard error; dashes: pairs shuffled", fontsize=11)
    right.set(xlabel="time t of the noise exp(-t) v + sqrt(1 - exp(-2t)) n", ylabel="-dI/dt [nat]")
    right.set_title("Integrand: I is the area under it", fontsize=11)
    right.grid(alpha=0.25)
    right.legend(fontsize=9)
    return fig


def main():
    files_command(__doc__, "mi", Value, draw, rows)


if __name__ == "__main__":
    main()
