"""Pictures of what was learnt: accuracy against epoch, codes by class, nearest neighbours of images, spectrum of the codes.

  python3 -m analysis pictures RESULTS/table1 [--runs RUNS/table1] [--data cifar10.h5] -o FOLDER

accuracy.png from what jobs/study.py has kept. With --runs, of each run there that has a checkpoint and --data's classes,
RUN-codes.png, RUN-neighbours.png and spectrum.png, from features that `mige encode` writes to FOLDER/RUN.h5."""
import argparse
import glob
import os
import shlex
import subprocess
import sys

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from kept import LAYERS, load  # noqa: E402

POINTS, QUERIES, NEIGHBOURS = 3000, 8, 10


def save(fig, name):
    fig.savefig(name, dpi=130)
    plt.close(fig)
    print(name)


def accuracies(rows, name):
    """A panel for each layer, a curve for each row, means over seeds."""
    fig, panels = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
    for panel, layer in zip(panels, LAYERS):
        for i, (row, runs) in enumerate(sorted(rows.items())):
            points = {e: [a for r in runs if (a := r.accuracy(e, layer)) is not None] for e in {e for r in runs for e in r.probes}}
            epochs = sorted(e for e in points if points[e])
            if epochs:
                panel.errorbar(epochs, [np.mean(points[e]) for e in epochs], [np.std(points[e]) for e in epochs], marker="o", capsize=2,
                               color=plt.cm.tab20(i % 20), label=row)
        panel.set(title=f"probe of {layer}", xlabel="epochs", xscale="symlog", ylabel="test accuracy, %")
        panel.grid(alpha=0.3)
    panels[-1].legend(fontsize=7)
    save(fig, name)


def encode(mige, run, data, output):
    if not os.path.exists(output):
        subprocess.run([*shlex.split(mige), "encode", "--run", run, "--data", data, "--layers", "y", "--output", output, "--quiet"], check=True)
    with h5py.File(output) as f:
        return f["test/y"][()].astype(float), f["test/labels"][()]


def flat(codes):
    """In two dimensions: t-SNE where scikit-learn is there, else the first two principal components."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        centred = codes - codes.mean(0)
        return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T, "principal components"
    return TSNE(init="pca", random_state=0).fit_transform(codes), "t-SNE"


def draw_codes(codes, labels, classes, title, name):
    points, method = flat(codes[:POINTS])
    fig, ax = plt.subplots(figsize=(7, 6), layout="constrained")
    for k in range(len(classes)):
        of = points[labels[:POINTS] == k]
        ax.scatter(*of.T, s=4, color=plt.cm.tab20(k % 20), label=classes[k] if len(classes) <= 20 else None)
    ax.set(title=f"{title}: Y by class, {method} of {len(points)} test images", xticks=[], yticks=[])
    if len(classes) <= 20:
        ax.legend(markerscale=3, fontsize=7)
    save(fig, name)


def draw_neighbours(codes, labels, images, classes, title, name):
    """A row for each query, its neighbours by cosine; those of another class framed."""
    directions = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    queries = [int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)[:QUERIES]]
    fig, axes = plt.subplots(len(queries), NEIGHBOURS + 1, figsize=(NEIGHBOURS + 1, len(queries)), layout="constrained")
    for row, q in zip(axes, queries):
        near = np.argsort(-(directions @ directions[q]))[: NEIGHBOURS + 1]
        for ax, i in zip(row, [q, *[n for n in near if n != q][:NEIGHBOURS]]):
            ax.imshow(images[i].transpose(1, 2, 0).squeeze(), cmap="gray" if images.shape[1] == 1 else None)
            ax.set(xticks=[], yticks=[])
            for side in ax.spines.values():
                side.set(visible=labels[i] != labels[q], color="red", linewidth=3)
        row[0].set_ylabel(classes[labels[q]], fontsize=7)
    fig.suptitle(f"{title}: test images and their neighbours in Y (framed: another class)", fontsize=10)
    save(fig, name)


def draw_spectra(spectra, name):
    fig, ax = plt.subplots(figsize=(7, 5), layout="constrained")
    for i, (run, values) in enumerate(spectra.items()):
        ax.semilogy(np.arange(1, len(values) + 1), values / values.sum(), color=plt.cm.tab20(i % 20), label=run)
    ax.set(title="Spectrum of the covariance of Y, test images", xlabel="number", ylabel="share of the variance")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=7)
    save(fig, name)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kept")
    p.add_argument("--runs")
    p.add_argument("--data", default="cifar10.h5")
    p.add_argument("--mige", default="build/mige")
    p.add_argument("-o", "--output", default="pictures")
    o = p.parse_args()
    os.makedirs(o.output, exist_ok=True)
    accuracies(load(o.kept), os.path.join(o.output, "accuracy.png"))
    if not o.runs:
        return
    with h5py.File(o.data) as f:
        images, classes = f["test/images"][()], [c.decode() for c in f["class_names"][()]]
    same, spectra = os.path.splitext(os.path.basename(o.data))[0], {}
    kept = [r for runs in load(o.kept).values() for r in runs if r.data == same]
    for r in kept:
        run = os.path.join(o.runs, os.path.basename(r.folder))
        if not glob.glob(os.path.join(run, "checkpoint-*.h5")):
            continue
        title, base = os.path.basename(run), os.path.join(o.output, os.path.basename(run))
        codes, labels = encode(o.mige, run, o.data, f"{base}.h5")
        draw_codes(codes, labels, classes, title, f"{base}-codes.png")
        draw_neighbours(codes, labels, images, classes, title, f"{base}-neighbours.png")
        spectra[title] = np.linalg.eigvalsh(np.cov(codes.T))[::-1].clip(1e-12)
    if not spectra:
        sys.exit(f"pictures: no checkpoints of {same} in {o.runs}")
    draw_spectra(spectra, os.path.join(o.output, "spectrum.png"))
