"""Error of dI/drho for estimators, maps and calibrations where the truth is known: runs `mige toy`, writes RESULTS.md.

usage: analysis study [--folder FOLDER] [--output RESULTS.md] [--mige "mpirun -np 2 build/mige"] [--part NAME]... [--table]

Each cell of a table is the mean over draws of the relative RMSE over the grid of correlations, with its standard error.
What is in FOLDER already is not done again, what was begun goes on; --table only writes the tables. Parts, with CPU minutes:

"""
import argparse
import os
import shlex
import subprocess
import sys

import h5py
import numpy as np
from common import replace_section

GRID, FEW, REPEATS = "-0.8:0.8:8", "-0.8:0.8:2", 10
BOUNDS = 0.1, 0.05, 0.02, 0.01, 0.005
LARGE = 2048  # samples from which on FEW correlations must do

CASES = {
    "Gaussian": ["gaussian"],
    "y³": ["cubic"], "y³, rotated": ["cubic", "--rotate"],
    "asinh y": ["asinh"], "asinh y, rotated": ["asinh", "--rotate"],
    "y + 0.4 sin 2y": ["sine"], "y + 0.4 sin 2y, rotated": ["sine", "--rotate"],
    "radial warp": ["radial"],
    "scaled 0.1 to 10": ["scaled"], "scaled, rotated": ["scaled", "--rotate"],
}

TIKHONOV, FULL = ["--estimator", "stein"], ["--calibrate", "stein"]
SETTINGS = {
    "published": [],
    "ssge, factor": ["--calibrate", "scale"],
    "ssge, full": FULL,
    "ssge, whiten": ["--precondition", "whiten"],
    "ssge, normal": ["--precondition", "normal-scores"],
    "ssge, normal, full": ["--precondition", "normal-scores", *FULL],
    "ssge, ica, full": ["--precondition", "ica", *FULL],
    "ssge, width 2, full": ["--width-scale", "2", "--threshold", "0.999", *FULL],
    "tik": TIKHONOV,
    "tik, factor": [*TIKHONOV, "--calibrate", "scale"],
    "tik, full": [*TIKHONOV, *FULL],
    "tik, whiten, full": [*TIKHONOV, *FULL, "--precondition", "whiten"],
    "tik, normal": [*TIKHONOV, "--precondition", "normal-scores"],
    "tik, normal, full": [*TIKHONOV, *FULL, "--precondition", "normal-scores"],
    "tik, ica": [*TIKHONOV, "--precondition", "ica"],
    "tik, ica, full": [*TIKHONOV, *FULL, "--precondition", "ica"],
    "tik, width 2, full": [*TIKHONOV, *FULL, "--width-scale", "2"],
    "tik, width 2, normal, full": [*TIKHONOV, *FULL, "--width-scale", "2", "--precondition", "normal-scores"],
    "tik, ica, width 3, full": [*TIKHONOV, *FULL, "--width-scale", "3", "--precondition", "ica"],
    "ssm": ["--estimator", "ssm"],
}
BEST = ["published", "tik, full", "tik, normal, full", "tik, ica, width 3, full"]
ALONE = ["published", "ssge, factor", "ssge, full", "ssge, whiten", "ssge, normal", "ssge, normal, full", "ssge, ica, full",
         "ssge, width 2, full"]
TIK = [name for name in SETTINGS if name.startswith("tik")]

# part -> (title, dims, samples, cases, settings, minutes of CPU)
PARTS = {
    "best": ("The published setting against the best, d = 32", [32], [256, 1024], list(CASES), BEST, 15),
    "ssge": ("SSGE, alone and with everything, d = 32", [32], [256, 1024], list(CASES), ALONE, 20),
    "tikhonov": ("Iterated Tikhonov, alone and with everything, d = 32", [32], [256, 1024], list(CASES), TIK, 25),
    "dims": ("Dimensions", [8, 16, 64], [256, 1024], list(CASES), BEST, 30),
    "samples": ("Samples, d = 32", [32], [128, 512, 2048, 4096], list(CASES), BEST[1:], 35),
    "large": ("Many samples, d = 32", [32], [8192], ["Gaussian", "y³, rotated", "radial warp"],
              ["tik, full", "tik, ica, width 3, full"], 30),
    "largest": ("Most samples, d = 32", [32], [16384], ["Gaussian"],
                ["tik, ica, width 3, full", "tik, full"], 60),
}


def file_of(folder, case, setting, samples, dims):
    words = [case, setting, str(samples), "d" + "-".join(map(str, dims))]
    name = "_".join(words).replace(",", "").replace(" ", "-").replace("³", "3").replace("+", "plus")
    return os.path.join(folder, name + ".h5")


def run(mige, path, case, setting, samples, dims):
    command = [*mige, "toy", "--methods", "mige", "--dims", ",".join(map(str, dims)), "--samples", str(samples),
               f"--rho={FEW if samples >= LARGE else GRID}", "--repeats", str(REPEATS), "--problem", *CASES[case], *SETTINGS[setting], "--output", path,
               "--resume", "--quiet"]
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode:
        print(f"study: {' '.join(command)}: status {r.returncode}: {r.stderr.strip().splitlines()[-1:]}", file=sys.stderr)


def errors(path, d):
    """Relative RMSE of each draw, or None where there is no file."""
    try:
        with h5py.File(path) as f:
            estimate, truth = f[f"d{d}/mige/gradient"][:], f[f"d{d}/true_gradient"][:]
    except OSError:
        return None
    return np.sqrt(np.mean((estimate - truth) ** 2, axis=1) / np.mean(truth ** 2))


def done(path, d):
    e = errors(path, d)
    return e is not None and np.isfinite(e).all()


def cell(path, d, best):
    e = errors(path, d)
    if not done(path, d):
        return "–"
    digits = 3 if e.mean() >= 0.01 else 4
    text = f"{e.mean():.{digits}f} ± {e.std(ddof=1) / np.sqrt(len(e)):.{digits}f}"
    return f"**{text}**" if e.mean() == best else text


def table(folder, samples, d, dims, cases, settings):
    lines = [f"| d = {d}, M = {samples} | " + " | ".join(settings) + " |", "| --- |" + " --- |" * len(settings)]
    for case in cases:
        found = {s: errors(file_of(folder, case, s, samples, dims), d) for s in settings}
        means = [e.mean() for e in found.values() if e is not None and np.isfinite(e).all()]
        best = min(means) if means else None
        cells = [cell(file_of(folder, case, s, samples, dims), d, best) for s in settings]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return lines


def needed(folder, d, setting):
    """For each case the least M, of those run, at which the setting's mean error is within a bound."""
    lines = ["", f"## Samples that `{setting}` needs, d = {d}", "", "The least M, of those run, with a mean error of at most", "",
             "| case | " + " | ".join(f"{100 * bound:g} %" for bound in BOUNDS) + " |", "| --- |" + " --- |" * len(BOUNDS)]
    runs = [(case, m) for _, dims, samples, cases, settings, _ in PARTS.values() for case in cases for m in samples
            if dims == [d] and setting in settings]
    for case in CASES:
        found = {m: errors(path, d).mean() for c, m in sorted(set(runs)) if c == case
                 and done(path := file_of(folder, case, setting, m, [d]), d)}
        least = [min((m for m in found if found[m] <= bound), default=None) for bound in BOUNDS]
        lines.append(f"| {case} | " + " | ".join("–" if m is None else f"{m:,}" for m in least) + " |")
    return lines


def report(folder, parts):
    lines = ["# Error of dI/drho: estimators, maps, calibrations", "",
             f"Relative RMSE over 8 correlations from -0.8 to 0.8 (over -0.8 and 0.8 where M is {LARGE} or more) of the gradient of mutual information of x and y = g(rho x + sqrt(1 - rho²) e),",
             f"mean over {REPEATS} draws ± standard error; the best of a row in bold; – where a setting was not run or refused. The radial warp",
             "y / (1 + |y|²/d) folds at |y| = √d, so that the truth in its row is too large: by 1.3 % at d = 32, by 2 to 5 % at 16 and 8. Made by", "",
             "```", "make && $(scripts/python) -m analysis study", "```", "",
             "The settings are options of `mige toy` (and of `train`, `score`, `scale`):", "", "| name | options |", "| --- | --- |"]
    lines += [f"| {name} | `{' '.join(words) or '(defaults)'}` |" for name, words in SETTINGS.items()]
    lines += needed(folder, 32, BEST[-1])
    for name in parts:
        title, dims, samples, cases, settings, _ = PARTS[name]
        if not all(os.path.exists(file_of(folder, case, s, m, dims)) for case in cases for s in settings for m in samples):
            continue  # not run, or not to the end
        lines += ["", f"## {title}"]
        for m in samples:
            for d in dims:
                lines += ["", *table(folder, m, d, dims, cases, settings)]
    return lines


def main():
    about = __doc__ + "\n".join(f"  {name:10} {part[5]:4} min  {part[0]}" for name, part in PARTS.items())
    parse = argparse.ArgumentParser(usage=about.replace("usage: ", "", 1))
    parse.add_argument("--folder", default="build/study")
    parse.add_argument("--output", default="analysis/RESULTS.md")
    parse.add_argument("--mige", default="build/mige")
    parse.add_argument("--part", action="append", choices=list(PARTS))
    parse.add_argument("--table", action="store_true")
    asked = parse.parse_args()
    os.makedirs(asked.folder, exist_ok=True)
    parts = asked.part or list(PARTS)
    work = [(case, s, m, PARTS[p][1]) for p in parts for m in PARTS[p][2] for s in PARTS[p][4] for case in PARTS[p][3]]
    work = [w for w in work if not all(done(file_of(asked.folder, *w), d) for d in w[3])]
    for i, (case, setting, samples, dims) in enumerate(work if not asked.table else []):
        print(f"study {i + 1}/{len(work)}: {case}, {setting}, M {samples}, d {dims}", flush=True)
        run(shlex.split(asked.mige), file_of(asked.folder, case, setting, samples, dims), case, setting, samples, dims)
    replace_section(asked.output, report(asked.folder, list(PARTS)))
    print(f"study: written to {asked.output}")
