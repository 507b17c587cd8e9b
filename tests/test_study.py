#!/usr/bin/env python3
"""Images held out, probes, and studies from a plan: what is trained on, kept, gone on with and tabled."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np

from program import DATA, MIGE, SCRATCH, Cases, fails, good, path, prepare_run, train

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.append(os.path.join(ROOT, "tests", "ref"))
from philox import permutation  # noqa: E402

HELD, SUBSET = 100, 9


def split(images):
    """Indices that stay and that are held out, each in order."""
    p = permutation(0, SUBSET, 1, images)
    return np.sort(p[:-HELD]), np.sort(p[-HELD:])


def held_out(ranks):
    """Encode and probe take the run's; the features of an image are what they are without."""
    run, whole, part = path(f"held-{ranks}"), path("held-whole.h5"), path(f"held-{ranks}.h5")
    good(*train(run, "--steps", 2, "--validation", HELD), ranks=ranks)
    good("encode", "--run", run, "--data", DATA, "--layers", "y", "--output", whole)
    good("encode", "--run", run, "--layers", "y", "--output", part, ranks=ranks)
    with h5py.File(whole) as f, h5py.File(part) as g:
        for indices, name in zip(split(640), ("train", "test")):
            assert np.array_equal(g[name]["labels"], f["train/labels"][()][indices]), name
            assert np.abs(g[name]["y"][()] - f["train/y"][()][indices]).max() < 1e-4, name
    r = good("probe", "--run", run, "--layers", "y", "--probe-epochs", 1, ranks=ranks)
    assert f"({HELD} held out images)" in r.out, r.out
    with h5py.File(os.path.join(run, "probe.h5")) as f:
        assert f.attrs["validation"] == HELD and f.attrs["test_images"] == HELD
    good("probe", "--run", run, "--data", DATA, "--layers", "y", "--probe-epochs", 1)
    with h5py.File(os.path.join(run, "probe.h5")) as f:
        assert f.attrs["validation"] == 0 and f.attrs["test_images"] == 200


def never_seen():
    """Training is the same whatever is in the images held out; tests are of them."""
    other, found = path("other.h5"), []
    shutil.copy(DATA, other)
    with h5py.File(other, "r+") as f:
        indices = split(640)[1]
        images, labels = f["train/images"][()], f["train/labels"][()]
        images[indices], labels[indices] = 255 - images[indices], 0
        for name, x in ("images", images), ("labels", labels):
            del f["train"][name]
            f["train"][name] = x
        del f.attrs["sealed"]
    for data in DATA, other:
        run = path(f"seen-{os.path.basename(data)}")
        good("train", "--data", data, "--out", run, "--task", "ib", "--objective", "ce", "--encoder", "mlp:16", "--epochs", 1, "--batch", 20,
             "--learning-rate", 1e-2, "--average", 0, "--validation", HELD, "--quiet")
        with h5py.File(os.path.join(run, "metrics.h5")) as f:
            assert len(f["train/step"]) == (640 - HELD) // 20
            found.append((f["train/loss"][()], f["test/error"][()]))
    assert np.array_equal(found[0][0], found[1][0]), "training differs"
    assert found[0][1] != found[1][1] and abs(found[0][1] * HELD / 100 % 1) < 1e-9, found


def held_out_refused():
    fails(2, "validation: 640 .*fewer than the 640", *train(path("all"), "--steps", 1, "--validation", 640))
    good(*train(path("resumed"), "--steps", 1, "--validation", 10))
    fails(3, "630 training images.*629", *train(path("resumed"), "--steps", 2, "--validation", 11, "--resume"))


def probe_kept():
    """Last, best and all epochs of both classifiers, and neighbours by what encode has written; on any number of ranks."""
    run, features, found = path("run"), path("neighbours.h5"), {}
    good("encode", "--run", run, "--layers", "y,fc", "--output", features)
    for ranks in 1, 3:
        r = good("probe", "--run", run, "--layers", "y,fc", "--probe-epochs", 3, "--classifier", "mlp,linear", "--neighbours", 5,
                 "--quiet", ranks=ranks)
        with h5py.File(os.path.join(run, "probe.h5")) as f:
            found[ranks] = {f"{x}/{n}": d[()] for x, group in f["trained"].items() for n, d in group.items()}
            for x in "y", "fc":
                for n in "accuracy", "linear_accuracy":
                    d = f["trained"][x][n]
                    assert d.attrs["last"] == d[-1] and d.attrs["best"] == d[()].max() and f"{d[-1]:.2f}" in r.out, r.out
    assert len(found[1]) == 6
    for name, values in found[1].items():
        assert np.abs(values - found[3][name]).max() <= 1, f"{name}: {values}, {found[3][name]}"
    with h5py.File(features) as f:
        for x in "y", "fc":
            a, b = f["train"][x][()].astype(float), f["test"][x][()].astype(float)
            near = np.argsort(-b @ (a / np.linalg.norm(a, axis=1, keepdims=True)).T, axis=1, kind="stable")[:, :5]
            votes = [np.argmax(np.bincount(f["train/labels"][()][n], minlength=10)) for n in near]
            expected = 100 * np.mean(votes == f["test/labels"][()])
            assert abs(found[1][f"{x}/neighbours"][0] - expected) <= 0.5, f"{x}: {found[1][f'{x}/neighbours']} and {expected}"
    fails(2, "--classifier.*tree", "probe", "--run", run, "--classifier", "tree")
    for ranks in 1, 3:
        good("probe", "--input", features, "--layers", "y,fc", "--output", path("fed.h5"), "--probe-epochs", 3, "--classifier", "mlp,linear",
             "--neighbours", 5, ranks=ranks)
        with h5py.File(path("fed.h5")) as f:
            for name, values in found[ranks].items():
                assert np.array_equal(f["trained"][name][()], values), f"{name}: {f['trained'][name][()]}, from the run {values}"


def features_refused():
    """Files that are no features, and options that do not go with them."""
    to = "--output", path("refused.h5")
    fails(2, "--run: must be given, or --input", "probe")
    fails(2, "--layers: must be given", "probe", "--input", DATA, *to)
    fails(2, "--input: wants --output", "probe", "--input", DATA, "--layers", "y")
    fails(2, "no --run", "probe", "--input", DATA, "--layers", "y", "--run", path("run"), *to)
    fails(3, "/train/y", "probe", "--input", DATA, "--layers", "y", *to)
    fails(3, "/train/images is not", "probe", "--input", DATA, "--layers", "images", *to, ranks=3)
    for name, at, wrong in ("train/y", 3, np.nan), ("test/labels", 7, 10), ("train/labels", 4, 1.5):
        bad = path("bad.h5")
        shutil.copy(path("neighbours.h5"), bad)
        with h5py.File(bad, "r+") as f:
            x = f[name][()].astype(float)
            x.reshape(-1)[at] = wrong
            del f[name], f.attrs["sealed"]
            f[name] = x
        fails(3, f"{name}.*(finite|label 1)", "probe", "--input", bad, "--layers", "y", *to, ranks=3)
    for far, scale, warned in (0, 200, 0), (0, 2e5, 0), (0, 1, 1), (100, 200, 1), (1e9, 200, 2):
        with h5py.File(path("far.h5"), "w") as f, h5py.File(path("neighbours.h5")) as g:
            for split in "train", "test":
                f[f"{split}/y"], f[f"{split}/labels"] = scale * g[f"{split}/y"][()].astype(float) + far, g[f"{split}/labels"][()]
        r = good("probe", "--input", path("far.h5"), "--layers", "y", "--probe-epochs", 1, *to, ranks=3)
        assert len(r.warnings) == warned and all("standardise" in w or "too far from 0" in w for w in r.warnings), str(r)


# ---- studies


PLAN = """# a comment
cifar10-mige  mige.ini   data  1,2 1-2
views-jsd     views.ini  data  2   1    --batch 32   # with other batches
"""
INI = """[train]
encoder = mlp:8
batch = 16
code = 4
projection = 4
{}
[probe]
probe-epochs = 2
"""


def study(*options, plan="table1.plan", wait=True):
    words = [sys.executable, os.path.join(ROOT, "jobs", "study.py"), path("plans", plan), "--data-folder", SCRATCH, "--runs", path("runs"),
             "--results", path("kept"), "--mige", MIGE, "--launch", "", *options]
    p = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if not wait:
        return p
    out, err = p.communicate(timeout=120)
    return p.returncode, out, err


def kept(label):
    return path("kept", "table1", label)


def plan_is_worked_through():
    os.makedirs(path("plans"))
    for name, options in ("mige", ""), ("views", "circumstance = views\naugment = flip\nobjective = jsd\nlearning-rate = 1e-3"):
        with open(path("plans", f"{name}.ini"), "w") as f:
            f.write(INI.format(options))
    with open(path("plans", "table1.plan"), "w") as f:
        f.write(PLAN)
    status, out, err = study("--cost")
    assert status == 0 and "0 of 5 are kept" in out and len(re.findall(r"about \d+ min of training", out)) == 5, f"{out} {err}"
    assert not os.path.exists(path("kept")), "--cost has kept something"
    status, out, err = study()
    assert status == 0 and out.count(": kept") == 5, f"{out} {err}"
    for label, epochs, steps in ("cifar10-mige-1", [1, 2], 80), ("cifar10-mige-2", [1, 2], 80), ("views-jsd-1", [2], 40):
        names = ["config.ini", "metrics.h5", *[f"probe-{e}.h5" for e in epochs], "study.json"]
        assert sorted(os.listdir(kept(label))) == names, os.listdir(kept(label))
        good("verify", *[os.path.join(kept(label), n) for n in names if n.endswith("h5")])
        assert len(glob.glob(path("runs", "table1", label, "checkpoint-*.h5"))) == 1
        for e in epochs:
            with h5py.File(os.path.join(kept(label), f"probe-{e}.h5")) as f:
                assert f.attrs["step"] == steps * e // epochs[-1]
    status, out, err = study()
    assert status == 0 and "5 of 5 are kept" in out and "about 0.0 h" in out and ": kept" not in out, f"{out} {err}"


def until(condition, p):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"not after a minute: {p.poll()}"
        time.sleep(0.02)


def beginnings():
    log = path("runs", "long", "long-1.log")
    return len(re.findall(r"^train: \d+ images", open(log).read(), re.M)) if os.path.exists(log) else 0


def newest():
    found = glob.glob(path("runs", "long", "long-1", "checkpoint-*.h5"))
    return max([int(re.search(r"-(\d+)\.h5", c)[1]) for c in found], default=0)


def stopped_and_gone_on_with():
    """By a signal, by the stop file, by death, in the middle of a training; no step is missing in the end."""
    with open(path("plans", "long.plan"), "w") as f:
        f.write("long mige.ini data 600 1\n")  # 24,000 steps: none of the stops comes after the last
    open(path("STOP"), "w").close()  # one of old counts for nothing
    for status, stop in (75, lambda p: p.send_signal(signal.SIGTERM)), (75, lambda p: os.utime(path("STOP"))), (-9, lambda p: p.kill()):
        began, before = beginnings(), newest()
        p = study("--stop-file", path("STOP"), plan="long.plan", wait=False)
        until(lambda: beginnings() > began, p)
        stop(p)
        out, err = p.communicate(timeout=60)
        assert p.returncode == status and ("stopped" in err) == (status == 75), f"{p.returncode} {out} {err}"
        until(lambda: newest() > before, p)
        assert newest() < 24000 and not os.path.exists(path("kept", "long")), newest()
    status, out, err = study(plan="long.plan")
    assert status == 0 and "long-1: kept" in out, f"{out} {err}"
    with h5py.File(path("kept", "long", "long-1", "metrics.h5")) as f:
        assert f.attrs["kept_every"] == 60 and np.array_equal(f["train/step"][()], np.arange(60, 24001, 60)), f["train/step"][()]
        assert f["train/epoch"][-1] == 600


def failures():
    """Numbers that go wrong are noted, and the study goes on; other options under the same name, and mistakes, end it."""
    with open(path("plans", "bad.plan"), "w") as f:
        f.write("wild mige.ini data 1 1 --width 1e-200\ngood views.ini data 1 1\n")
    status, out, err = study(plan="bad.plan")
    assert status == 0 and "good-1: kept" in out and "wild-1: mige:" in out, f"{status} {out} {err}"
    with open(path("kept", "bad", "wild-1", "failed")) as f:
        assert "width" in f.read()
    assert "2 of 2 are kept" in study(plan="bad.plan")[1]
    for text, message in (("good views.ini data 1 1 --batch 20\n", "other options"), ("good none.ini data 1 1", "none.ini"), ("x", "bad.plan:1"),
                          ("good views.ini nothing 1 1", "nothing.h5"), ("good views.ini data a 1", "\"a\"")):
        with open(path("plans", "bad.plan"), "w") as f:
            f.write(text)
        status, out, err = study(plan="bad.plan")
        assert status in (2, 3) and message in err and "Traceback" not in err, f"{text}: {status} {err}"


def table():
    """The figures of the table are those of the files."""
    r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "table1", "--results", path("kept")], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    values, best = {}, {}
    for seed in 1, 2:
        with h5py.File(os.path.join(kept(f"cifar10-mige-{seed}"), "probe-2.h5")) as f:
            for x in f["trained"]:
                values.setdefault(x, []).append(f["trained"][x]["accuracy"][-1])
                best.setdefault(x, []).append(f["trained"][x]["accuracy"][()].max())
    cells = [f"{np.mean(values[x]):.1f} ± {np.std(values[x], ddof=1):.1f} ({np.mean(best[x]):.1f})" for x in ("fc", "y")]
    row = f"| MIGE | 2 | 2 | – | {' | '.join(cells)} | 57.95 | 57.09 | 53.75 |"
    assert row in r.stdout, f"{row} is not in {r.stdout}"
    with open(path("kept", "table1.md")) as f:
        assert row in f.read()
    ends = []  # the last 8 of 80 steps
    for seed in 1, 2:
        with h5py.File(os.path.join(kept(f"cifar10-mige-{seed}"), "metrics.h5")) as f:
            assert f["train/step"][-8] == 73
            ends.append(f["train/code_deviation"][-8:].mean())
    row = f"| cifar10-mige | 2 | code_deviation | {np.mean(ends):.3f} ± {np.std(ends, ddof=1):.3f} |"
    assert row in r.stdout, f"{row} is not in {r.stdout}"
    with open(os.path.join(kept("cifar10-mige-1"), "study.json")) as f:
        assert json.load(f)["stages"]["2"]["steps"] == 80


def batches():
    """What accuracy an estimator is worth, from two runs that stand for it and for the published one."""
    y = []
    for seed, row in (1, "stein.16-1"), (2, "ssge.16-1"):
        shutil.copytree(kept(f"cifar10-mige-{seed}"), path("kept", "batch", row))
        with h5py.File(path("kept", "batch", row, "probe-2.h5")) as f:
            y.append(f["trained/y/accuracy"][-1])
    r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "batch", "--results", path("kept")], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    assert f"goes from {y[0]:.1f} to {y[0]:.1f} with iterated" in r.stdout and f"worth {y[0] - y[1]:.1f} to {y[0] - y[1]:.1f} points" in r.stdout, r.stdout
    assert os.path.getsize(path("kept", "batch.png")) > 10000


def first_page():
    """It takes the place of the one before; other sections stay as they are; its figures are the table's."""
    page = path("kept", "RESULTS.md")
    with open(page, "w") as f:
        f.write("# Others\n\ntext\n\n# Results at a glance\n\nold\n")
    for _ in range(2):
        r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "results", "--results", path("kept"), "-o", page], capture_output=True,
                           text=True)
        assert r.returncode == 0, r.stderr
    with open(page) as f, open(path("kept", "table1.md")) as g:
        text, table1 = f.read(), g.read()
    row = next(line for line in table1.splitlines() if line.startswith("| MIGE | 2 |"))
    assert text.startswith("# Others\n\ntext\n\n# Results at a glance\n") and "\nold\n" not in text and text.count("\n# ") == 1, text
    r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "results", "--results", path("nowhere"), "-o", page],
                       capture_output=True, text=True)
    with open(page) as f:
        assert r.returncode == 1 and "nothing is kept" in r.stderr and f.read() == text, r.stderr
    assert row in text and f"CIFAR-10, one view, 2 epochs: conv / fc / Y – / {row.split('|')[5].split()[0]} /" in text, text


def bottlenecks():
    """Errors on changed images are those of the program on such a file; what turns images by 90 degrees turns them."""
    sys.path.append(os.path.join(ROOT, "analysis"))
    from bottleneck import Network, auroc, rotated

    x = np.random.default_rng(0).random((3, 9, 9), dtype=np.float32)
    assert np.abs(rotated(x, 90) - np.rot90(x, 1, (1, 2))).max() < 1e-6 and np.array_equal(rotated(x, 0), x)
    assert auroc(np.array([0, 1, 2]), np.array([1, 3])) == 0.75
    net = Network.__new__(Network)  # sigma as the layer has it: softplus(rho - 5), or within bounds softplus(rho)
    net.encoder, net.width, net.drawn = {"y.weight": np.zeros((4, 1)), "y.bias": np.array([7.0, 8.0, 1.0, -9.0])}, 2, True
    for net.range, want in (None, np.log1p(np.exp([-4.0, -14.0]))), ([0.5, 2], [np.log1p(np.exp(1.0)), 0.5]):
        mu, sigma = net.code(np.ones((1, 1)))
        assert np.array_equal(mu, [[7, 8]]) and np.allclose(sigma, [want]), sigma
    grey = path("grey.h5")
    with h5py.File(DATA) as f, h5py.File(grey, "w") as g:
        f.copy("class_names", g)
        for name in "train", "test":
            g[f"{name}/images"], g[f"{name}/labels"] = f[name]["images"][:, :1], f[name]["labels"][()]
        for name, value in f.attrs.items():
            if name != "sealed":
                g.attrs[name] = value
    rows = {"dvb": "", "baseline": "", "mige-ib-implicit": "implicit = yes\nconditional = ssge\ndraws = 4"}
    with open(path("plans", "ib.plan"), "w") as plan:
        for name, more in rows.items():
            objective = name.removesuffix("-implicit").replace("baseline", "ce")
            with open(path("plans", f"{name}.ini"), "w") as f:
                f.write(f"[train]\ntask = ib\nencoder = mlp:32\nbatch = 16\ncode = 8\nlearning-rate = 1e-3\naverage = 0.9\nobjective = {objective}\n{more}\n")
            plan.write(f"{name} {name}.ini grey 3 1\n")
    status, out, err = study(plan="ib.plan")
    assert status == 0 and out.count(": kept") == 3, f"{out} {err}"
    shutil.copytree(path("kept", "ib"), path("kept", "table2"))
    shutil.copytree(path("runs", "ib"), path("runs", "table2"))
    r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "bottleneck", path("runs", "table2"), "--data", grey, "--others", DATA,
                        "--results", path("kept")], capture_output=True, text=True)
    assert r.returncode == 0 and r.stdout.count("robust.h5") == 3, r.stderr
    for name in rows:
        folder = path("kept", "table2", f"{name}-1")
        with h5py.File(os.path.join(folder, "robust.h5")) as f, h5py.File(os.path.join(folder, "metrics.h5")) as g:
            told, last = f["noise_error"][0], g["test/error"][-1]
            assert abs(told - last) <= (0.01 if name == "baseline" else 3), f"{name}: {told} {last}"
            assert len(f["others_entropy"]) == 3 and ("others_kl" in f) == (name == "dvb"), list(f)
            assert f["angle_error"][0] == told and f["noise_error"][-1] != told
    r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "table2", "--results", path("kept")], capture_output=True, text=True)
    assert r.returncode == 0 and "## Under noise and rotation" in r.stdout and r.stdout.count("entropy of the classes") == 3, r.stdout + r.stderr
    r = subprocess.run([sys.executable, os.path.join(ROOT, "analysis"), "bottleneck", path("runs", "nowhere"), "--data", grey], capture_output=True,
                       text=True)
    assert r.returncode == 1 and "Traceback" not in r.stderr, r.stderr


def main():
    cases = Cases()
    cases.run("prepare", prepare_run)
    for ranks in 1, 3:
        cases.run(f"held out np {ranks}", held_out, ranks)
    cases.run("held out is never seen", never_seen)
    cases.run("held out refused", held_out_refused)
    cases.run("probe kept", probe_kept)
    cases.run("probe features refused", features_refused)
    cases.run("study plan is worked through", plan_is_worked_through)
    cases.run("study stopped and gone on with", stopped_and_gone_on_with)
    cases.run("study failures", failures)
    cases.run("study table", table)
    cases.run("batches and estimators", batches)
    cases.run("first page of results", first_page)
    cases.run("bottlenecks", bottlenecks)
    cases.end()


if __name__ == "__main__":
    main()
