#!/usr/bin/env python3
"""mige watch: what is drawn is what the file has, by the dots; and it follows a run to its end without disturbing it. Two jobs on
the same cores notice it."""
import os
import re
import shutil
import time

import h5py
import numpy as np
from program import Cases, Program, Skip, fails, good, path, pictures, write_data

HEIGHT = 5


def write_run(name, loss, **more):
    """A file as of a run of 200 steps of 32 images, 4 epochs asked for, at 16 images a second."""
    os.makedirs(path(name))
    n = len(loss)
    with h5py.File(path(name, "metrics.h5"), "w") as f:
        f.attrs.update(format=np.bytes_("mige-run"), format_version=np.int64(1), complete=np.int64(1),
                       config=np.bytes_("[train]\nbatch = 32\nepochs = 4\nsteps = 0\n"))
        columns = {"step": np.arange(1, n + 1), "epoch": np.arange(1, n + 1) / 100, "images_per_second": np.full(n, 16.0), "loss": loss, **more}
        for key, values in columns.items():
            f[f"train/{key}"] = values
            f[f"train/{key}"].attrs["units"] = np.bytes_("nat" if key == "loss" else "1")


def dots(out, title):
    """Of the panel so named, [rows][columns] of dots from the top, and the numbers at its axis."""
    lines = out.splitlines()
    top = next(i for i, line in enumerate(lines) if title in line)
    left = lines[top].index(title)
    braille, labels = [], []
    for line in lines[top + 1: top + 1 + HEIGHT]:
        cells = re.match("[\u2800-\u28ff]+", line[left:])[0]
        labels.append(line[max(0, left - 10): left - 1].strip())
        bits = np.array([ord(c) - 0x2800 for c in cells])
        order = [[0, 1, 2, 6], [3, 4, 5, 7]]
        block = np.array([[[bits >> order[x][y] & 1 for y in range(4)] for x in range(2)]])[0]  # [x][y][cell]
        braille.append(block.transpose(1, 2, 0).reshape(4, -1))
    return np.concatenate(braille), float(labels[0]), float(labels[-1])


def drawn(ranks):
    name = f"drawn-{ranks}"
    x = np.arange(200) / 199
    write_run(name, 3 - 2 * x, gradient_norm=np.sin(2 * np.pi * x), code_deviation=np.full(200, 0.25), z_eigen=np.zeros(200))
    r = good("watch", name, ranks=ranks)
    assert f"{name}: stopped, step 200 of 400, epoch 2, 16 images/s" in r.out and "z_eigen" not in r.out, r.out
    for title, y in ("loss [nat]  1", 3 - 2 * x), ("gradient_norm", np.sin(2 * np.pi * x)):
        lit, high, low = dots(r.out, title)
        columns = lit.shape[1]
        means = np.array([y[200 * i // columns: max(200 * (i + 1) // columns, 200 * i // columns + 1)].mean() for i in range(columns)])
        assert np.isclose(high, means.max(), rtol=1e-3) and np.isclose(low, means.min(), rtol=1e-3, atol=1e-3), (high, low)
        rows = np.round((means.max() - means) / np.ptp(means) * (4 * HEIGHT - 1)).astype(int)
        assert lit[rows, np.arange(columns)].all(), title
        assert lit.sum() <= columns + np.abs(np.diff(rows)).sum(), title
    lit, high, low = dots(r.out, "code_deviation  0.25")
    assert (lit.sum(1) > 0).sum() == 1 and low < 0.25 < high


def follows():
    write_data(path("small.h5"), *pictures(40, 3))
    p = Program("train", "--data", "small.h5", "--out", "run", "--batch", 16, "--steps", 20, "--quiet", "--precision", "float")
    end = time.monotonic() + 60
    while not os.path.exists(path("run", "metrics.h5")) and p.process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    r = good("watch", "run", "--every", 0.2, seconds=120)
    assert p.result().status == 0 and "run: running, " in r.out, r.out[:300]
    heads = re.findall(r"run: (\w+), step (\d+) of 20, .*", r.out)
    assert heads[-1] == ("done", "20") and r.out.count("\n") > 20, heads
    before = os.stat(path("run", "metrics.h5")).st_mtime_ns
    good("watch", "run")
    assert before == os.stat(path("run", "metrics.h5")).st_mtime_ns


def cores():
    """Another job on the same core is told of, by info and train; one on another core, and a job's own ranks, are not."""
    if not shutil.which("taskset") or len(os.sched_getaffinity(0)) < 2:
        raise Skip("needs taskset and two cores")
    one, two = map(str, sorted(os.sched_getaffinity(0))[:2])

    def on(core, *args, ranks=1):
        return Program(*args, ranks=ranks, before=("taskset", "-c", core))

    write_data(path("cores.h5"), *pictures(40, 3))
    there = on(one, "train", "--data", "cores.h5", "--out", "busy", "--batch", 16, "--steps", 10**6, "--quiet", "--checkpoint-every", "0")
    end = time.monotonic() + 60
    while not os.path.exists(path("busy", "metrics.h5")) and time.monotonic() < end:
        time.sleep(0.05)
    try:
        again = "train", "--data", "cores.h5", "--out", "second", "--batch", 16, "--steps", 1, "--quiet"
        results = [on(one, "info").result(), on(one, *again).result(), on(two, "info", ranks=3).result(), good("info")]
    finally:
        there.kill()
    told = ["ranks bound to cores" in r.err for r in results]
    assert told == [True, True, False, False] and f"as process {there.process.pid}:" in results[0].err, [str(r) for r in results]


def refused(ranks):
    fails(3, r"none/metrics\.h5", "watch", "none", ranks=ranks)
    fails(2, f"{ranks - 1} runs", "watch", *["a"] * (ranks - 1), ranks=ranks)
    os.makedirs(path(f"other-{ranks}"))
    write_data(path(f"other-{ranks}", "metrics.h5"), *pictures(10, 1))
    fails(3, "mige-data", "watch", f"other-{ranks}", ranks=ranks)


def main():
    cases = Cases()
    for ranks in 1, 3:
        cases.run(f"drawn on {ranks}", drawn, ranks)
        cases.run(f"refused on {ranks}", refused, ranks)
    cases.run("follows", follows)
    cases.run("cores", cores)
    cases.end()


if __name__ == "__main__":
    main()
