"""What needs no encoder: pixels, 64 principal components, a random projection to 64 numbers, probed as features are, and kept beside
Table 1's runs as RESULTS/table1/DATA-KIND-1.

  python3 -m analysis baselines cifar10.h5 [cifar100.h5...]"""
import argparse
import json
import os
import shlex
import subprocess
import tempfile

import h5py
import numpy as np

SIZE = 64


def pixels(x, test):
    return x, test


def pca(x, test):
    centre = x.mean(0, dtype=np.float64)
    covariance = x.T.astype(np.float64) @ x / len(x) - np.outer(centre, centre)
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :SIZE].astype(np.float32)
    return (x - centre.astype(np.float32)) @ axes, (test - centre.astype(np.float32)) @ axes


def projection(x, test):
    matrix = np.random.default_rng(1).normal(size=(x.shape[1], SIZE)).astype(np.float32) / np.float32(x.shape[1] ** 0.5)
    return x @ matrix, test @ matrix


KINDS = {"pixels": pixels, "pca": pca, "projection": projection}


def write_features(source, kind, name):
    """As mige encode does; the layer is called y."""
    with h5py.File(source) as f, h5py.File(name, "w") as g:
        images = [f[s]["images"][()].reshape(len(f[s]["images"]), -1).astype(np.float32) / np.float32(127.5) - 1 for s in ("train", "test")]
        for split, x in zip(("train", "test"), KINDS[kind](*images)):
            g[f"{split}/y"], g[f"{split}/labels"] = x, f[split]["labels"][()]
        g["class_names"] = f["class_names"][()]
        g.attrs.update({"format": np.bytes_("mige-data"), "format_version": np.int64(1), "complete": np.int64(1)})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", nargs="+")
    p.add_argument("--results", default="analysis/results")
    p.add_argument("--mige", default="build/mige")
    p.add_argument("--classifier", default="mlp,linear")
    p.add_argument("--probe-epochs", default="20")
    o = p.parse_args()
    for source in o.data:
        data = os.path.splitext(os.path.basename(source))[0]
        for kind in KINDS:
            kept = os.path.join(o.results, "table1", f"{data}-{kind}-1")
            if os.path.exists(os.path.join(kept, "study.json")):
                continue
            os.makedirs(kept, exist_ok=True)
            options = {"classifier": o.classifier, "probe-epochs": o.probe_epochs}
            with tempfile.TemporaryDirectory() as folder:
                write_features(source, kind, os.path.join(folder, "features.h5"))
                subprocess.run([*shlex.split(o.mige), "probe", "--input", os.path.join(folder, "features.h5"), "--layers", "y", "--output",
                                os.path.join(kept, "probe-0.h5"), "--quiet", *[w for k, v in options.items() for w in (f"--{k}", v)]], check=True)
            with open(os.path.join(kept, "study.json"), "w") as f:
                json.dump({"options": {"data": os.path.basename(source), "more": "", "probe": options}, "stages": {"0": {}}}, f, indent=1)
            print(f"baselines: {kept}", flush=True)
