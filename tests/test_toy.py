#!/usr/bin/env python3
"""mige toy: its file, its numbers at several numbers of ranks, killed and gone on with, and what it refuses."""
import os
import shutil
import signal
import time

import h5py
import numpy as np
from program import Cases, Program, fails, good, path

CRITICS = ["mine", "mine-f", "mine-joint", "mine-f-joint", "infonce"]
ALL = ",".join(["mige", *CRITICS])


def toy(output, *more, methods=ALL, dims="2,3", rho="-0.6:0.5:3", repeats=2, steps=6):
    return ("toy", "--dims", dims, "--methods", methods, "--samples", 64, f"--rho={rho}", "--repeats", repeats,
            "--critic-steps", steps, "--joint-steps", steps, "--output", output, *more)


def contents(name):
    """{data set: numbers}"""
    found = {}
    with h5py.File(name) as f:
        f.visititems(lambda n, d: found.update({n: d[()]}) if isinstance(d, h5py.Dataset) else None)
    return found


def same(a, b, most=1e-6):
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    for name in a:
        assert not np.isnan(a[name]).any(), f"{name}: not done"
        error = np.abs(a[name] - b[name]).max()
        assert error <= most * (1 + np.abs(a[name]).max()), f"{name}: {error}"


def file():
    r = good(*toy(path("a.h5"), "--log-view", "--seed", 3))
    assert "relative RMSE" in r.out and "72 cells" in r.out, str(r)
    good("verify", path("a.h5"))
    with h5py.File(path("a.h5")) as f:
        assert f.attrs["format"] == b"mige-toy" or f.attrs["format"] == "mige-toy"
        assert f.attrs["complete"] == 1 and f.attrs["seed"] == 3 and f.attrs["ranks"] == 1
        rho = f["rho"][:]
        assert np.allclose(rho, [-0.6, -0.05, 0.5], rtol=0, atol=1e-15)
        for d in 2, 3:
            g = f[f"d{d}"]
            assert np.allclose(g["true_mi"][:], -d / 2 * np.log(1 - rho**2), rtol=1e-13)
            assert np.allclose(g["true_gradient"][:], rho * d / (1 - rho**2), rtol=1e-13)
            assert sorted(g) == sorted([*ALL.split(","), "true_mi", "true_gradient"])
            assert sorted(g["mige"]) == ["eigen_joint", "eigen_marginal", "gradient"]
            J = g["mige/eigen_joint"][:]
            assert (J == np.round(J)).all() and (J > g["mige/eigen_marginal"][:]).all() and (J < 64).all()
            for m in CRITICS:
                joint = ["steps"] * (m.endswith("joint") or m == "infonce")
                assert sorted(g[m]) == ["gradient", "mi"] + joint, list(g[m])
                assert not joint or (g[m]["steps"][:] == 6).all()
            for m in ALL.split(","):
                for name, data in g[m].items():
                    assert data.shape == (2, 3) and data.dtype == np.float64, f"{m}/{name}: {data}"
                    assert "units" in data.attrs and "long_name" in data.attrs and np.isfinite(data[:]).all()
                assert len(np.unique(g[m]["gradient"][:])) == 6, f"{m}: two cells are one"
            assert not np.array_equal(g["mine"]["gradient"][:], g["mine-f"]["gradient"][:])


def values():
    """At 2 nats a dimension the scores still tell the value; InfoNCE cannot say more than log of its batch."""
    good(*toy(path("values.h5"), "--mi", methods="mige,infonce", dims="3", rho="0.9907993:0.9907993:1", repeats=1, steps=400))
    with h5py.File(path("values.h5")) as f:
        truth, ours, theirs = (f[f"d3/{name}"][:].item() for name in ("true_mi", "mige/mi", "infonce/mi"))
    assert abs(truth - 6) < 1e-3 and abs(ours - truth) < 0.6, ours
    assert 2 < theirs < np.log(64), theirs
    fails(2, "too few", *toy(path("no.h5"), "--mi", methods="mige", dims="40"))


def seeds():
    good(*toy(path("b.h5"), "--seed", 4, methods="mige,mine"))
    for name, x in contents(path("b.h5")).items():
        if name.endswith("/gradient"):
            assert not np.isclose(x, contents(path("a.h5"))[name]).any(), name


def any_number_of_ranks(ranks):
    """On more ranks than cells of a method, too."""
    output = path(f"ranks-{ranks}.h5")
    good(*toy(output, "--seed", 3), ranks=ranks)
    same(contents(output), contents(path("a.h5")))


def together(ranks):
    """A problem of more than 2,048 samples is worth all ranks."""
    args = ("toy", "--dims", 2, "--methods", "mige", "--samples", 2060, "--rho=0.5:0.5:1", "--solver", "subspace",
            "--output", path("large.h5"), "--eigen", 5)
    r = good(*args, ranks=ranks)
    assert "on all together" in r.out, str(r)
    numbers = contents(path("large.h5"))
    if ranks > 1:
        same(numbers, together.alone)
    together.alone = numbers


def known_values():
    """The published estimator: 0.048 here, the mean over 20 draws, which are 0.014 apart."""
    args = ("toy", "--dims", 4, "--methods", "mige", "--rho=-0.8:0.8:8", "--repeats", 20, "--output", path("known.h5"))
    good(*args)
    with h5py.File(path("known.h5")) as f:
        g, truth = f["d4/mige/gradient"][:], f["d4/true_gradient"][:]
    error = np.sqrt(((g - truth) ** 2).mean(1) / (truth**2).mean())
    assert error.mean() < 0.06, f"relative RMSE {error}"
    assert not np.isclose(g[0], g[1]).any()


def critics_learn():
    """A few hundred steps take the bounds most of the way, never far past the truth."""
    args = ("toy", "--dims", 1, "--methods", ALL, "--samples", 32, "--rho=0.7:0.7:1", "--critic-steps", 150,
            "--joint-steps", 150, "--critic-rate", 1e-3, "--output", path("learn.h5"))
    good(*args)
    with h5py.File(path("learn.h5")) as f:
        truth, slope = f["d1/true_mi"][0], f["d1/true_gradient"][0]
        for m in CRITICS:
            mi, gradient = f[f"d1/{m}/mi"][0, 0], f[f"d1/{m}/gradient"][0, 0]
            assert 0.1 < mi < 2.2 * truth, f"{m}: {mi} of {truth}"
            assert 0.2 * slope < gradient < 2 * slope, f"{m}: gradient {gradient} of {slope}"


def unfinished(name):
    return any(np.isnan(x).any() for x in contents(name).values())


def killed_and_resumed(ranks):
    """Killed at any moment, a file is there that can be gone on with, to the same numbers."""
    output, args = path(f"killed-{ranks}.h5"), {"steps": 30, "methods": "mine,mige,mine-f-joint"}
    p = Program(*toy(output, **args), ranks=ranks)
    end = time.monotonic() + 30
    while time.monotonic() < end and not os.path.exists(output) and p.process.poll() is None:
        time.sleep(0.02)
    p.kill()
    assert os.path.exists(output), "no file was written on the way"
    assert unfinished(output), "it was done before it could be killed"
    good("verify", output)
    r = good(*toy(output, "--resume", **args))
    assert "of 36 cells" in r.out, str(r)
    if ranks == 1:
        good(*toy(path("whole.h5"), **args))
    same(contents(output), contents(path("whole.h5")))
    before = os.stat(output).st_mtime_ns
    r = good(*toy(output, "--resume", **args))
    assert "nothing left to do" in r.out and os.stat(output).st_mtime_ns == before, str(r)


def stopped(ranks):
    """75 after a signal, in the middle of a cell that would take hours, and what is done is kept."""
    output = path(f"stopped-{ranks}.h5")
    args = toy(output, methods="mige,mine", dims="2", repeats=3, steps=1000000)
    p = Program(*args, ranks=ranks)
    time.sleep(2)
    for pid in p.ranks():
        os.kill(pid, signal.SIGTERM)
    r = p.result(20)
    assert r.status == 75 and len(r.messages) == 1 and "--resume" in r.messages[0] and "signal" in r.messages[0], str(r)
    good("verify", output)
    assert unfinished(output)


def out_of_time():
    fails(75, "after its hours.*--resume", *toy(path("time.h5"), "--max-hours", 1e-7))
    assert unfinished(path("time.h5"))
    before = os.stat(path("time.h5")).st_mtime_ns
    fails(2, "time.h5 is a study with [0-9]+ gradients to go .--resume", *toy(path("time.h5")), ranks=3)
    fails(2, "gradients to go", "scale", "--samples", 64, "--output", path("time.h5"), "--quiet")
    fails(2, "gradients to go", *toy(path("time.h5"), "--dry-run"))
    assert os.stat(path("time.h5")).st_mtime_ns == before
    assert "gradients to go" in good("verify", path("time.h5")).out
    fails(75, "after its hours.*--resume", *toy(path("three.h5"), "--max-hours", 1e-7), ranks=3)


def finished_is_kept():
    """What was finished is not lost to a run that is broken off; each time under another name."""
    args = toy(path("again.h5"), methods="mige")
    good(*args)
    shutil.copy(path("again.h5"), path("done.h5"))
    for old in ("again.h5.old", "again.h5.old2"):
        r = fails(75, "--resume", *args, "--max-hours", 1e-7)
        assert r.warnings[-1].endswith(f"again.h5 was there, finished: it is now {path(old)}"), str(r)
        assert unfinished(path("again.h5"))
        same(contents(path(old)), contents(path("done.h5")), 0)
        shutil.copy(path("done.h5"), path("again.h5"))


def other_options():
    before = contents(path("a.h5"))
    for part, more in (("--seed.*3.*4", ("--seed", 4)), ("--samples", ("--seed", 3, "--samples", 65)),
                       ("--calibrate.*none.*stein", ("--seed", 3, "--calibrate", "stein"))):
        fails(2, part, *toy(path("a.h5"), "--resume", *more))
    fails(2, "--dims.*2,3.*2,4", *toy(path("a.h5"), "--resume", "--seed", 3, dims="2,4"))
    fails(2, "--methods", *toy(path("a.h5"), "--resume", "--seed", 3, methods="mige"))
    fails(2, "--rho", *toy(path("a.h5"), "--resume", "--seed", 3, rho="-0.6:0.5:4"))
    with open(path("a.h5"), "rb") as f:
        whole = f.read()
    with open(path("cut.h5"), "wb") as f:
        f.write(whole[: len(whole) // 2])
    fails(3, r"cut\.h5", *toy(path("cut.h5"), "--resume", "--seed", 3))
    shutil.copy(path("a.h5"), path("earlier.h5"))
    with h5py.File(path("earlier.h5"), "r+") as f: # whose samples came from another generator
        del f.attrs["draws"], f.attrs["sealed"]
    fails(3, r"earlier\.h5.*draws", *toy(path("earlier.h5"), "--resume", "--seed", 3))
    same(contents(path("a.h5")), before, 0)
    good(*toy(path("a.h5"), "--resume", "--seed", 3, "--threads", 2, "--quiet"), ranks=2)
    good(*toy(path("new.h5"), "--resume", methods="mige"))


def usage(ranks):
    def bad(status, part, *more, **how):
        fails(status, part, *toy(path("x.h5"), *more, **how), ranks=ranks)

    bad(2, "--methods.*mime.*mige", methods="mige,mime")
    fails(5, "missing", *toy(path("missing", "x.h5")), ranks=ranks)
    if ranks > 1:
        return
    bad(2, "--methods.*twice", methods="mige,mige")
    bad(2, "--dims.*0.*range", dims="2,0")
    bad(2, "--dims.*three", dims="2,three")
    bad(2, "--dims", dims="2,,3")
    bad(2, "--rho.*1", rho="-1.5:0.5:3")
    bad(2, "--rho.*A:B:N", rho="0.5")
    bad(2, "--rho", rho="0:0.5:0")
    bad(2, "--samples.*one number", "--samples", "64,128")
    bad(2, "--samples.*range", "--samples", "1")
    bad(2, "--samples.*all pairs", "--samples", "20000")
    bad(2, "--eigen.*samples", "--eigen", 65)
    bad(2, "--width", "--width", "wide")
    bad(2, "--joint-rat", "--joint-rat", 1)
    fails(2, "--output", "toy", ranks=ranks)
    assert not os.path.exists(path("x.h5"))


def dry_run():
    r = good(*toy(path("x.h5"), "--dry-run", "--problem", "cubic", "--rotate"))
    assert "72 cells" in r.out and "cubic rotated" in r.out and "MB a rank" in r.out, str(r)
    assert not os.path.exists(path("x.h5"))


def options():
    """Other problems and estimators run, and give other numbers."""
    seen = []
    for more in ((), ("--problem", "cubic"), ("--problem", "cubic", "--rotate"), ("--problem", "radial"),
                 ("--estimator", "stein"), ("--calibrate", "stein")):
        good(*toy(path("o.h5"), *more, methods="mige"))
        numbers = contents(path("o.h5"))
        assert ("d2/mige/eigen_joint" in numbers) == ("stein" not in more or "--calibrate" in more)
        assert not any(np.array_equal(numbers["d3/mige/gradient"], s) for s in seen), more
        seen.append(numbers["d3/mige/gradient"])


def shapes():
    """Problems of other shapes have their own truths, which scores meet."""
    for problem, bound, rho in (("sparse", 0.1, "0.2:0.8:3"), ("dense", 0.12, "0.2:0.7:3"), ("student2", 0.15, "0.2:0.8:3"),
                                ("cdf", 0.08, "0.2:0.8:3"), ("half-cube", 0.1, "0.2:0.8:3"), ("spiral", 0.3, "0.2:0.8:3"),
                                ("additive", 0.1, "0.2:0.8:3")):
        good("toy", "--dims", 3, "--methods", "mige", "--samples", 256, f"--rho={rho}", "--repeats", 4, "--problem", problem,
             "--estimator", "stein", "--calibrate", "stein", "--precondition", "normal-scores", "--output", path("s.h5"),
             "--quiet")
        numbers = contents(path("s.h5"))
        truth = numbers["d3/true_gradient"]
        error = np.sqrt(((numbers["d3/mige/gradient"].mean(0) - truth) ** 2).mean() / (truth**2).mean())
        assert error < bound, f"{problem}: {error}"
    fails(2, "--methods", *toy(path("x.h5"), "--problem", "dense", "--rho=0.1:0.5:2", methods="mine"))
    fails(2, "--rho", *toy(path("x.h5"), "--problem", "additive", methods="mige"))


def main():
    cases = Cases()
    cases.run("file", file)
    rest = [(seeds,), (values,), (any_number_of_ranks, 2), (any_number_of_ranks, 3), (together, 1), (together, 3), (known_values,),
            (critics_learn,), (killed_and_resumed, 1), (killed_and_resumed, 3), (stopped, 1), (stopped, 3),
            (out_of_time,), (finished_is_kept,), (other_options,), (usage, 1), (usage, 3), (dry_run,), (options,), (shapes,)]
    for case, *ranks in rest:
        cases.run(case.__name__.replace("_", " ") + "".join(f" np {r}" for r in ranks), case, *ranks)
    cases.end()


if __name__ == "__main__":
    main()
