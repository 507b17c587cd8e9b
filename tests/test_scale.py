#!/usr/bin/env python3
"""mige scale: its rows do not depend on the number of ranks, nor on having been killed; what does not fit is refused."""
import os
import re
import subprocess
import sys
import time

import h5py
import numpy as np

from program import Cases, Program, fails, good, path

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "analysis"))
import model

SIZES = (64, 128, 256)
SMALL = ("--dim", 4, "--repeats", 3, "--quiet")
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def scale(output, *more, sizes=SIZES):
    return ("scale", "--samples", ",".join(map(str, sizes)), "--output", path(output), *SMALL, *more)


def read(name):
    with h5py.File(path(name)) as f:
        assert f.attrs["complete"] == 1 and f.attrs["format"] == b"mige-scale"
        assert all("units" in d.attrs and "long_name" in d.attrs for d in f.values())
        return {n: d[()] for n, d in f.items()}, dict(f.attrs)


def by_hand(rows, i):
    """Error, its deviation and slope from the estimates themselves."""
    truth = 4 * rows["rho"] / (1 - rows["rho"] ** 2)
    estimates = rows["gradient"][i]
    errors = np.sqrt(((estimates - truth) ** 2).mean(1) / (truth**2).mean())
    return errors.mean(), errors.std(ddof=1), (estimates * truth).sum() / (len(estimates) * (truth**2).sum())


def columns(ranks):
    good(*scale(f"rows-{ranks}.h5"), ranks=ranks)
    good("verify", path(f"rows-{ranks}.h5"))
    rows, attributes = read(f"rows-{ranks}.h5")
    assert tuple(rows["samples"]) == SIZES and (rows["ranks"] == ranks).all() and (rows["draws"] == 12).all()
    for name in ("eigen", "seconds_gram", "seconds_eigen", "seconds_score", "seconds_total", "gflops",
                 "bytes_per_rank", "bytes_predicted", "relative_error", "slope", "flops_eigen", "dgemm_gflops"):
        assert rows[name].shape == (3,) and (rows[name] > 0).all(), f"{name} {rows[name]}"
    parts = rows["seconds_gram"] + rows["seconds_eigen"] + rows["seconds_score"]
    assert (parts <= rows["seconds_total"]).all(), f"{parts} of {rows['seconds_total']}"
    flops = rows["flops_gram"] + rows["flops_eigen"] + rows["flops_apply"]
    assert np.allclose(rows["gflops"], 1e-9 * flops / rows["seconds_total"])
    assert (rows["eigen"] > rows["eigen_marginal"]).all() and (np.diff(rows["eigen"]) > 0).all(), rows["eigen"]
    assert attributes["dim"] == 4 and attributes["estimator"] == b"ssge" and attributes["threshold"] == 0.99


def accuracy():
    """Over 24 seeds: error 0.121 +- 0.020, 0.074 +- 0.012, 0.050 +- 0.008; slope 0.891 +- 0.023, 0.937 +- 0.014,
    0.956 +- 0.009."""
    rows, _ = read("rows-1.h5")
    for i, (error, slope) in enumerate(((0.18, 0.82), (0.11, 0.89), (0.075, 0.93))):
        expected = by_hand(rows, i)
        found = [rows[name][i] for name in ("relative_error", "relative_error_sd", "slope")]
        assert np.allclose(found, expected, rtol=1e-9), f"{found}, by hand {expected}"
        assert found[0] < error, f"error {found[0]:.3f} at M = {SIZES[i]}"
        assert slope < found[2] < 1.02, f"slope {found[2]:.3f} at M = {SIZES[i]}"


def ranks_agree():
    one, three = read("rows-1.h5")[0], read("rows-3.h5")[0]
    for name in "gradient", "relative_error", "slope", "eigen":
        worst = np.abs(three[name] / one[name] - 1).max()
        assert worst < 1e-6, f"{name}: {worst:.1e} between one rank and three"


def memory():
    """What is measured is near what was predicted, where the matrices are most of it."""
    good(*scale("memory.h5", "--repeats", 1, "--rho", "0.5:0.5:1", "--estimator", "stein", sizes=(1536,)))
    rows, _ = read("memory.h5")
    ratio = rows["bytes_per_rank"][0] / rows["bytes_predicted"][0]
    assert rows["bytes_predicted"][0] > 1.9e7 and 0.8 < ratio < 1.3, f"{ratio:.2f} of what was predicted"


def refused(ranks):
    output = f"refused-{ranks}.h5"
    r = fails(2, r"--samples: 512 samples need .* GB .*at most \d+ would fit",
              *scale(output, "--memory", 0.002, sizes=(64, 512)), ranks=ranks)
    most = int(re.search(r"at most (\d+) would fit", r.messages[0])[1])
    assert 64 <= most < 512 and not os.path.exists(path(output)), f"{most}"
    good(*scale(output, "--memory", 0.002, "--dry-run", sizes=(most,)), ranks=ranks)
    fails(2, "would fit", *scale(output, "--memory", 0.002, "--dry-run", sizes=(most + 1,)), ranks=ranks)
    assert not os.path.exists(path(output))
    fails(2, "no number of samples", *scale(output, "--memory", 1e-6), ranks=ranks)


def dry_run():
    r = good("scale", "--samples", "700,1000,9000", "--dry-run", ranks=3)
    for part in "1000 samples", "at once, grid 1 x 1", "at once, grid 1 x 2", "9000 samples", "in turn, grid 1 x 3", "MB a rank", "GFLOP":
        assert part in r.out, f"no {part} in {r.out}"
    for ranks, samples in (1, 100), (2, 4095), (2, 4096), (3, 6143), (3, 6144):  # the model for plots has the same rule
        r = good("scale", "--samples", samples, "--dim", 8, "--dry-run", ranks=ranks)
        assert ("in turn" in r.out) == (model.critical(8, samples, ranks)[0] == 2), f"{ranks} ranks: {r.out}"
    assert not [n for n in os.listdir(path()) if n.endswith(".part")]


def usage():
    fails(2, "--output.*given", "scale", "--samples", 64)
    fails(2, "--samples.*twice", *scale("no.h5", sizes=(64, 64)))
    fails(2, "--samples.*range", *scale("no.h5", sizes=(1,)))
    fails(2, "--rho", *scale("no.h5", "--rho", "0:1:3"))
    fails(2, "--eigen", *scale("no.h5", "--eigen", 65))
    fails(5, "no-folder", "scale", "--samples", 64, "--output", path("no-folder", "a.h5"))
    assert not os.path.exists(path("no.h5"))


def resumed():
    """More samples are added to a file, the numbers of ranks side by side; another configuration is refused."""
    good(*scale("resumed.h5", "--resume", sizes=(64,)), ranks=3)
    good(*scale("resumed.h5", "--resume", sizes=SIZES))
    good(*scale("resumed.h5", "--resume", sizes=(128, 64)), ranks=3)
    rows, _ = read("resumed.h5")
    assert list(zip(rows["samples"], rows["ranks"])) == [(64, 3), (64, 1), (128, 1), (256, 1), (128, 3)]
    whole = read("rows-1.h5")[0]
    assert np.allclose(rows["gradient"][1:4], whole["gradient"], rtol=1e-9)
    before = os.stat(path("resumed.h5")).st_mtime_ns
    good(*scale("resumed.h5", "--resume", sizes=SIZES))
    assert os.stat(path("resumed.h5")).st_mtime_ns == before, "written though there was nothing to do"
    fails(2, '--dim: .*"4".*"5"', *scale("resumed.h5", "--resume", "--dim", 5))
    fails(2, "--threads", *scale("resumed.h5", "--resume", "--threads", 2))
    with open(path("resumed.h5"), "r+b") as f:
        f.truncate(1000)
    fails(3, "resumed.h5", *scale("resumed.h5", "--resume"))


def killed(ranks):
    """By force after the first case; what is there then is whole, and is gone on with."""
    output, sizes = f"killed-{ranks}.h5", (64, 128, 256, 2048)
    p = Program(*scale(output, "--repeats", 20, sizes=sizes), ranks=ranks)
    end = time.monotonic() + 60
    while time.monotonic() < end and not os.path.exists(path(output)):
        assert p.process.poll() is None, str(p.result())
        time.sleep(0.005)
    p.kill()
    rows, _ = read(output)
    assert 1 <= len(rows["samples"]) < len(sizes), rows["samples"]
    good(*scale(output, "--repeats", 20, "--resume", sizes=SIZES), ranks=ranks)
    rows, _ = read(output)
    assert tuple(rows["samples"]) == SIZES and (rows["draws"] == 80).all() and np.isfinite(rows["gradient"]).all()
    assert np.allclose(rows["gradient"][:, :3], read("rows-1.h5")[0]["gradient"], rtol=1e-6)


def stopped(ranks):
    """--max-hours ends it after one gradient, with 75; that gradient is not lost."""
    output = f"stopped-{ranks}.h5"
    for done in range(1, 3):
        r = fails(75, "after its hours.*--resume", *scale(output, "--max-hours", 1e-9, "--resume", sizes=(256,)),
                  ranks=ranks)
        rows, _ = read(output)
        assert rows["draws"][0] == done and np.isfinite(rows["gradient"][0]).sum() == done, str(r)
    good(*scale(output, "--resume", sizes=(256,)), ranks=ranks)
    rows, _ = read(output)
    assert np.allclose(rows["gradient"][0], read("rows-1.h5")[0]["gradient"][2], rtol=1e-6)
    parts = rows["seconds_gram"] + rows["seconds_eigen"] + rows["seconds_score"]
    assert rows["draws"][0] == 12 and (parts <= rows["seconds_total"]).all()


def plotted():
    files = [path(f"rows-{ranks}.h5") for ranks in (1, 3)]
    r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "scaling", *files, "--output",
                        path("scale.png"), "--cluster", "16,48,192"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr[-400:]
    with open(path("scale.png"), "rb") as f:
        assert f.read(8) == b"\x89PNG\r\n\x1a\n"
    with open(path("scale.md")) as f:
        text = f.read()
    assert "| 256 | 3 |" in text and "1,000,000" in text, text[:400]
    r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "scaling", path("none.h5"), "--output",
                        path("none.png")], capture_output=True, text=True, timeout=60)
    assert r.returncode != 0 and "none.h5" in r.stderr and "Traceback" not in r.stderr, r.stderr


def main():
    cases = Cases()
    for ranks in 1, 3:
        cases.run(f"columns on {ranks}", columns, ranks)
    cases.run("error and slope", accuracy)
    cases.run("the same on any number of ranks", ranks_agree)
    cases.run("memory as predicted", memory)
    cases.run("dry run", dry_run)
    cases.run("usage", usage)
    cases.run("resumed", resumed)
    for ranks in 1, 3:
        cases.run(f"refused on {ranks}", refused, ranks)
        cases.run(f"killed on {ranks}", killed, ranks)
        cases.run(f"stopped on {ranks}", stopped, ranks)
    cases.run("plot", plotted)
    cases.end()


if __name__ == "__main__":
    main()
