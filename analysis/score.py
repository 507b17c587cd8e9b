"""Draws files of `mige score`: the scores as arrows, how they differ from those of a normal
distribution, and Stein's identity column by column. The table goes beside the picture, as Markdown."""
import os

import matplotlib.pyplot as plt
import numpy as np
from common import file_of, files_command, options, table, text

ARROWS = 300  # drawn at most, of samples by chance


class Scores:
    def __init__(self, path):
        self.name = os.path.splitext(os.path.basename(path))[0]
        with file_of("score", path) as f:
            self.s, self.width, self.solver = f["score"][()], float(f.attrs["width"]), text(f.attrs["solver"])
            self.options = options(text(f.attrs["config"]))
            self.off = float(f.attrs.get("relative_error_squared", np.nan))
            if "samples" not in f:
                raise ValueError(f"{path}: has no samples beside its scores: of an earlier version, or more than 2^24 numbers")
            self.x = f["samples"][()] - f["samples"][()].mean(0)

    def stein(self):
        """-E[x s] of each column, about the mean: 1 for the scores of any density without edges."""
        return -np.mean(self.x * self.s, 0)

    def whitened(self):
        """Samples, and scores, in units in which the samples' covariance is the identity; for normal samples one is minus the other."""
        variance, V = np.linalg.eigh(np.cov(self.x.T).reshape(self.x.shape[1], -1))
        size = np.sqrt(np.maximum(variance, 1e-12 * variance[-1]))[::-1]
        return self.x @ V[:, ::-1] / size, self.s @ V[:, ::-1] * size


def rows(scores):
    return table(["file", "samples", "dimensions", "estimator", "solver", "width", "off at other points, %", "Stein's identity, mean of columns",
                  "least", "largest"],
                 [[v.name, *v.s.shape, v.options["estimator"], v.solver, f"{v.width:.4g}", f"{100 * v.off ** 0.5:.0f}" if v.off > 0 else "–",
                   *(f"{f(v.stein()):.3f}" for f in (np.mean, np.min, np.max))] for v in scores])


def draw_arrows(ax, v):
    z, g = v.whitened()
    if z.shape[1] == 1:
        order = np.argsort(z[:, 0])
        ax.plot(z[order, 0], g[order, 0], ".", ms=3)
        ax.axline((0, 0), slope=-1, color="0.6", lw=0.8)
        ax.set(xlabel="sample, in standard deviations", ylabel="score")
        return
    some = np.random.default_rng(1).permutation(len(z))[:ARROWS]
    ax.plot(z[:, 0], z[:, 1], ".", color="0.75", ms=2)
    ax.quiver(z[some, 0], z[some, 1], g[some, 0], g[some, 1], color="C0", angles="xy", width=0.003)
    ax.set(xlabel="first principal component, in its deviations", ylabel="second")


def draw(scores):
    fig, axes = plt.subplots(len(scores), 3, figsize=(13, 4.3 * len(scores)), layout="constrained", squeeze=False)
    for (left, middle, right), v in zip(axes, scores):
        draw_arrows(left, v)
        left.set_title(f"{v.name}: scores point to where samples are denser", fontsize=11)
        z, g = (np.linalg.norm(a, axis=1) for a in v.whitened())
        middle.plot(z, g, ".", ms=3)
        middle.axline((0, 0), slope=1, color="0.6", lw=0.8)
        middle.set(xlabel="distance from the mean", ylabel="size of the score")
        middle.set_title("Line: normal samples; far off it: shape, or error", fontsize=11)
        right.plot(v.stein(), np.arange(v.s.shape[1]), "o", ms=4)
        right.axvline(1, color="0.6", lw=0.8)
        right.set(xlabel="-E[x s], 1 for a density without edges", ylabel="column", xlim=(min(0, right.get_xlim()[0]), None),
                  ylim=(-0.6, v.s.shape[1] - 0.4))
        right.yaxis.get_major_locator().set_params(integer=True)
        right.set_title("Stein's identity", fontsize=11)
    return fig


def main():
    files_command(__doc__, "score", Scores, draw, rows)


if __name__ == "__main__":
    main()
