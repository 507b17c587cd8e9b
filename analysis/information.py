#!/usr/bin/env python3
"""What `mige mi` is worth, on the benchmark of Czyz et al. 2023 ("Beyond Normal") and where the truth is 0. Takes hours.

usage: information.py samples N SEEDS FILE   the benchmark's samples, by its own code: needs benchmark-mi 0.1.3 (jax 0.4.31)
       information.py rivals FILE            its KSG and CCA estimators on the same samples, into FILE; needs the same
       information.py values FILE RESULTS    values by the program ($MIGE), one after the other; goes on with RESULTS
       information.py table FILE RESULTS     a line a task, as in RESULTS.md
       information.py null DRAWS M           p-values of independent samples, and Kolmogorov's test of their being uniform"""
import os
import re
import subprocess
import sys
import tempfile

import h5py
import numpy as np

MIGE = os.environ.get("MIGE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "mige"))


def samples(n, seeds, path):
    from bmi.benchmark import BENCHMARK_TASKS

    with h5py.File(path, "w") as f:
        for name, task in BENCHMARK_TASKS.items():
            f.create_group(name).attrs["mi"] = task.mutual_information
            for seed in range(int(seeds)):
                x, y = task.sample(int(n), seed=seed)
                f[f"{name}/{seed}/x"], f[f"{name}/{seed}/y"] = np.asarray(x, np.float32), np.asarray(y, np.float32)


def each(f):
    """Names and seeds, seeds outermost, so that what there is after a while is a whole column."""
    return [(name, seed) for seed in sorted({s for g in f.values() for s in g}, key=int) for name in f if seed in f[name]]


def rivals(path):
    import bmi.estimators as estimators

    with h5py.File(path, "r+") as f:
        for name, seed in each(f):
            pair = f[name][seed]
            for key, make in ("ksg", estimators.KSGEnsembleFirstEstimator), ("cca", estimators.CCAMutualInformationEstimator):
                if key not in pair.attrs:
                    pair.attrs[key] = float(make().estimate(pair["x"][()].astype(float), pair["y"][()].astype(float)))


def estimate(path, x, y, shuffles):
    r = subprocess.run([MIGE, "mi", "--input", path, "--x", x, "--y", y, "--shuffles", str(shuffles), "--quiet"],
                       capture_output=True, text=True)
    if r.returncode:
        sys.exit(r.stderr)
    p = re.search(r"p = (\S+),", r.stdout)
    return *map(float, re.search(r"= (\S+) \+- (\S+) nats", r.stdout).groups()), float(p[1]) if p else np.nan


def done(results):
    if not os.path.exists(results):
        return {}
    with open(results) as f:
        return {(n, s): (float(v), float(e)) for n, s, v, e in map(str.split, f)}


def values(path, results):
    with h5py.File(path) as f:
        cases = each(f)
    have = done(results)
    for name, seed in cases:
        if (name, seed) in have:
            continue
        value, error, _ = estimate(path, f"/{name}/{seed}/x", f"/{name}/{seed}/y", 0)
        with open(results, "a") as out:
            print(name, seed, value, error, file=out)


def table(path, results):
    have, all_errors = done(results), []
    print("| task | true I | seeds | mean | deviation | standard error given | mean abs. error | KSG | CCA |\n" + "|---" * 9 + "|")
    with h5py.File(path) as f:
        for name in f:
            seeds = [s for n, s in have if n == name]
            if not seeds:
                continue
            true = f[name].attrs["mi"]
            v, e = np.array([have[name, s] for s in seeds]).T
            errors = [abs(v - true).mean()]
            errors += [np.mean([abs(f[name][s].attrs.get(key, np.nan) - true) for s in seeds]) for key in ("ksg", "cca")]
            all_errors.append(errors)
            print(f"| {name} | {true:.3f} | {len(seeds)} | {v.mean():.3f} | {v.std():.3f} | {e.mean():.3f} | "
                  + " | ".join(f"{x:.3f}" for x in errors) + " |")
    print("| mean | | | | | | " + " | ".join(f"{x:.3f}" for x in np.mean(all_errors, 0)) + " |")


def null(draws, M):
    rng, p = np.random.default_rng(1), []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "null.h5")
        for _ in range(int(draws)):
            with h5py.File(path, "w") as f:
                f["x"], f["y"] = rng.standard_t(3, (int(M), 2)), rng.standard_normal((int(M), 2)) ** 3
            p.append(estimate(path, "/x", "/y", 19)[2])
    p, n = np.sort(p), len(p)
    grid = np.arange(1, 21) / 20  # the values that 19 shuffles allow
    distance = np.abs(np.searchsorted(p, grid + 1e-9) / n - grid).max()
    print(f"{n} draws of {M} samples: mean p {p.mean():.3f}, share below 0.05 {np.mean(p < 0.0501):.3f}, Kolmogorov's distance "
          f"{distance:.3f} (beyond {1.358 / np.sqrt(n):.3f} in one of twenty, where uniform)")


if __name__ == "__main__":
    commands = {"samples": samples, "rivals": rivals, "values": values, "table": table, "null": null}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
