#!/usr/bin/env python3
"""mige mi: values of mutual information against NumPy's, step by step, and against known truths."""
import math
import os
import sys

import h5py
import numpy as np

from program import Cases, fails, good, path

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ref"))
import philox

NOISE, SHUFFLE, DRAWS = 6, 2, 64
PLAIN = ("--precondition", "whiten")


def write(name, **sets):
    with h5py.File(path(name), "w") as f:
        for key, value in sets.items():
            f[key] = value


def mi(name, *more, ranks=1):
    good("mi", "--input", path(name), "--output", path("mi.h5"), "--quiet", *more, ranks=ranks)
    with h5py.File(path("mi.h5")) as f:
        a = f.attrs
        assert a["complete"] == 1 and a["format"] == b"mige-mi"
        assert all("units" in d.attrs and "long_name" in d.attrs for d in f.values())
        return {**{n: float(a[n]) for n in ("mutual_information", "normal_part", "rest", "extrapolation_factor", "missed_by_parts",
                                           "standard_error", "p_value")},
                **{n: d[()] for n, d in f.items()}}


# ---- the estimator, from its definition


def digamma(x):
    """From its series, with Euler's constant."""
    n = np.arange(4_000_000)
    return -0.5772156649015329 + np.sum((x - 1) / ((n + 1) * (n + x))) + (x - 1) / 4_000_000


def white(x):
    x = x - x.mean(0)
    x /= x.std(0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return x @ vectors @ np.diag(values**-0.5) @ vectors.T


def score(z, eta=0.1, iterations=3):
    M, D = z.shape
    scale = 0.5 * (1000 / M) ** (1 / (D + 4))
    d2 = ((z[:, None] - z[None]) ** 2).sum(-1)
    w2 = (scale * np.sort(np.sqrt(d2).ravel())[M * M // 2]) ** 2
    K = np.exp(-d2 / (2 * w2))
    B = (K.sum(1)[:, None] * z - K @ z) / w2
    Y = np.zeros_like(z)
    for _ in range(iterations):
        Y += np.linalg.solve(K + eta * np.eye(M), B - K @ Y)
    return -Y @ np.linalg.inv((z - z.mean(0)).T @ Y / M)


def rest(z, noise, t):
    """-(s + C^-1 z)' n / b of each noised sample, with the noise and its opposite."""
    b, total = np.sqrt(1 - np.exp(-2 * t)), 0
    for n in noise, -noise:
        zt = np.exp(-t) * z + b * n
        c = zt - zt.mean(0)
        total = total - ((score(zt) + c @ np.linalg.inv(c.T @ c / len(c))) * n).sum(1) / b / 2
    return total


def normal_part(z):
    """(1/2) ln det C without bias, and samples' contributions."""
    M, D = z.shape
    c = z - z.mean(0)
    C = c.T @ c / M
    bias = sum(digamma((M - 1 - i) / 2) + np.log(2 / M) for i in range(D))
    return 0.5 * (np.linalg.slogdet(C)[1] - bias), 0.5 * ((c @ np.linalg.inv(C) * c).sum(1) - D)


def rests(z, sets, apart, seed, times, draws, parts):
    """Of J at each time: of every sample, by the sets that the value is of and by the others; and the sum that the value is of. Each
    set in so many parts."""
    M, D = z.shape
    J, total = np.zeros((2, 7, M)), np.zeros(7)
    for i, t in enumerate(times):
        for draw in range(draws):
            noise = philox.normal(seed, NOISE, i * DRAWS + draw, np.arange(M), D)
            order = philox.permutation(seed, SHUFFLE, 2**31 + i * draws + draw, M)
            z2, noise2 = (np.hstack([a[:, :apart], a[order, apart:]]) for a in (z, noise))
            for j, (columns, sign, rows) in enumerate(sets):
                for k in range(parts):
                    n = len(rows) // parts
                    part = np.roll(rows, -(k * n + (i * draws + draw) * n // (7 * draws)))[:n]
                    r = sign * rest(z[part][:, columns], noise[part][:, columns], t) / draws
                    J[int(apart and j > 0), i, part] += r
                    total[i] += r.sum() / M * (not apart or j == 0)
                    if apart and j == 0:
                        total[i] -= rest(z2[part], noise2[part], t).sum() / M / draws
    return J, total


def by_hand(z, sets, apart=0, seed=1, halved=True, labels=()):
    """Sets of J: columns, sign, rows. Apart, where it is not 0: from this column on all of z is shuffled anew at each time and
    draw, and the value is the rest of the first set less that of this; its error is that of all sets, of the others by halves.
    Labels: their shares and the random parts, of which all together show more."""
    M = len(z)
    draws = min(-(-2048 // M), DRAWS)
    u, w = np.polynomial.legendre.leggauss(7)
    u, w = 0.05 + 0.475 * (u + 1), 0.475 * w
    weights, times = 2 * u * w, u**2
    normal, each = 0.0, np.zeros(M)
    for columns, sign, rows in sets:
        half, moves = normal_part(z[rows][:, columns])
        normal -= sign * half * len(rows) / M
        each[rows] -= sign * moves
    J, total = rests(z, sets, apart, seed, times, draws, 1)
    J2, halves = rests(z, sets, apart, seed, times, draws, 2) if halved else (J, total)
    p = np.clip(np.log(total[0] / total[1]) / np.log(times[1] / times[0]), 0, 0.5) if min(total[:2]) > 0 else 0
    weights[0] += 0.05**2 * (times[0] / 0.05**2) ** p / (1 - p)
    value, each_rest, gap, each_gap = weights @ total, weights @ (J[0] + J2[1]), weights @ (total - halves), weights @ (J - J2)[0]
    gain, e2, on = 1 + np.sqrt(2), each_gap.var() / M, value > 0 and halved
    factor = 1 + np.clip(gain * gap**3 / (gap**2 + e2) / value, -0.5, 0.5) if on else 1
    slope = gain * gap**2 * (gap**2 + 3 * e2) / (gap**2 + e2) ** 2 if on else 0
    value *= max(0, 1 - each_rest.var() / M / value**2)
    value, error = normal + factor * value, (each + each_rest + slope * each_gap).std() / np.sqrt(M)
    if labels:
        shares, random = labels
        together, halves, parts = (weights @ rests(z, [(columns, 1, rows) for rows in of], 0, seed, times, draws, n)[1]
                                   for of, n in (([np.concatenate(random)], 1), ([np.concatenate(random)], 2), (random, 1)))
        share = np.clip(value / -(shares * np.log(shares)).sum(), 0, 1)
        missed = together - parts + max(0, min(together - parts, gain * (together - halves)))
        value, error = value - share * missed, np.hypot(error, missed * np.sqrt(share * (1 - share)))
    return value, normal, error, factor


def pair(M, seed, noise=0.7):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((M, 2))
    return x, (x[:, :1] ** 2 - 1) * 0.8 + x[:, 1:] + noise * rng.standard_normal((M, 1))


def definition():
    """With halves, and where they are too few."""
    for M in 120, 46:
        every = philox.permutation(1, SHUFFLE, 0, M)
        x, y = pair(M, 2)
        write("definition.h5", x=x, y=y)
        r = mi("definition.h5", *PLAIN)
        sets = [([0, 1, 2], 1, every), ([0, 1], -1, every), ([2], -1, every)]
        value, normal, error, factor = by_hand(np.hstack([white(x), white(y)]), sets, apart=2, halved=M == 120)
        assert abs(r["normal_part"] - normal) < 1e-6, f"{r} {normal}"  # digamma's series
        assert abs(r["mutual_information"] - value) < 2e-6, f"{r} {value}"
        assert abs(r["standard_error"] - error) < 1e-6, f"{r} {error}"
        assert abs(r["extrapolation_factor"] - factor) < 2e-6 and (M == 46) == (factor == 1), f"{r} {factor}"
        assert M == 46 or 0.05 < factor - 1 < 0.45, factor


def definition_nothing_left():
    """The rest of normal variables is below its own error: nothing of it is kept."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((150, 2))
    write("normal.h5", x=x, y=x[:, :1] + rng.standard_normal((150, 1)))
    r = mi("normal.h5", *PLAIN)
    assert abs(r["rest"]) > 1e-3 and r["mutual_information"] == r["normal_part"], f"{r}"


def definition_labels():
    M, sizes = 100, (44, 56)
    rng = np.random.default_rng(5)
    label = rng.permutation(np.repeat([3, -2], sizes))
    x = rng.standard_normal((M, 2)) * np.where(label == 3, 1, 2)[:, None] + label[:, None] / 4
    write("labels.h5", x=x, y=label.astype(np.int16))
    r = mi("labels.h5", *PLAIN)
    order = philox.permutation(1, SHUFFLE, 0, M)
    parts = [*(order[label[order] == k] for k in (-2, 3)), order[:56], order[56:]]
    value, normal, error, _ = by_hand(white(x), [([0, 1], s, p) for s, p in zip((1, 1, -1, -1), parts)],
                                      labels=(np.array(sizes) / M, parts[2:]))
    assert abs(r["normal_part"] - normal) < 1e-6 and abs(r["mutual_information"] - value) < 2e-6, f"{r} {value} {normal}"
    assert abs(r["standard_error"] - error) < 1e-6, f"{r} {error}"


# ---- known truths


def truth():
    """Normal variables of any scale, and maps of them: -(1/2) ln(1 - rho^2) each dimension."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((400, 2))
    y = 0.8 * x + 0.6 * rng.standard_normal((400, 2))
    true = -np.log(1 - 0.64)
    write("truth.h5", x=np.exp(x) * [1e-200, 1e200], y=y**3, z=y @ [[3, 1], [2, -5]] + 7)
    for name in "y", "z":
        r = mi("truth.h5", "--y", name, "--shuffles", 3)
        assert abs(r["mutual_information"] - true) < 2.5 * r["standard_error"], f"{name}: {r}, true {true}"
        assert 0.03 < r["standard_error"] < 0.12 and r["p_value"] == 0.25, f"{name}: {r}"
        assert r["integrand"][0] > r["integrand"][3] > r["integrand"][6] > 0, r["integrand"]


def truth_labels():
    """Two normal classes two deviations apart; the mixture's entropy by quadrature."""
    rng = np.random.default_rng(3)
    label = np.arange(600) % 3 > 0
    x = rng.standard_normal((600, 1)) + 2 * label[:, None]
    g = np.linspace(-12, 14, 20001)
    p = (np.exp(-g**2 / 2) + 2 * np.exp(-((g - 2) ** 2) / 2)) / 3 / np.sqrt(2 * np.pi)
    true = -(p * np.log(p)).sum() * (g[1] - g[0]) - 0.5 * np.log(2 * np.pi * np.e)
    write("classes.h5", x=x, y=label.astype(np.int32))
    r = mi("classes.h5", "--shuffles", 3)
    assert abs(r["mutual_information"] - true) < 0.04, f"{r}, true {true}"
    assert r["p_value"] == 0.25 and abs(r["shuffled"]).max() < 0.03, f"{r}"
    with open(path("classes.csv"), "w") as f:  # columns by name; whole numbers are labels here, too
        f.write("who,class,x\n" + "".join(f"someone,{k:d},{v:.17g}\n" for k, v in zip(label, x[:, 0])))
    again = mi("classes.csv", "--x", "x", "--y", "class", "--shuffles", 3)
    assert again["mutual_information"] == r["mutual_information"] and again["p_value"] == 0.25, f"{again}"
    np.savetxt(path("class.csv"), label, "%d")
    np.save(path("at.npy"), x)
    files = "mi", "--x", path("at.npy"), "--y", path("class.csv"), "--shuffles", 3, "--quiet", "--output", path("files.h5")
    good(*files)
    with h5py.File(path("files.h5")) as f:
        assert f.attrs["mutual_information"] == r["mutual_information"]
    # Where classes lie is what parts of their sizes show little of: 0.7 too much without the whole.
    centres, label = rng.standard_normal((20, 10)), np.arange(1000) % 20
    write("apart.h5", x=centres[label] + rng.standard_normal((1000, 10)), y=label)
    far, of = centres[np.arange(20000) % 20] + rng.standard_normal((20000, 10)), np.arange(20000)
    log_p = -((far[:, None] - centres[None]) ** 2).sum(2) / 2
    true = (log_p[of, of % 20] - np.log(np.exp(log_p).mean(1))).mean()
    r = mi("apart.h5", "--shuffles", 0)
    assert abs(r["mutual_information"] - true) < 0.3 and 0.4 < r["missed_by_parts"] < 0.9, f"{r}, true {true}"


def given():
    """x - z - y is a chain: I(x;y) > 0 = I(x;y|z)."""
    rng = np.random.default_rng(4)
    z = rng.standard_normal((400, 1))
    write("given.h5", x=z + 0.5 * rng.standard_normal((400, 1)), y=z + 0.5 * rng.standard_normal((400, 1)), z=z)
    assert abs(mi("given.h5", "--shuffles", 0)["mutual_information"] - 0.511) < 0.1  # -(1/2) ln(1 - 0.8^2)
    r = mi("given.h5", "--given", "/z", "--shuffles", 0)
    assert abs(r["mutual_information"]) < 0.05 and np.isnan(r["p_value"]), f"{r}"
    fails(2, "--shuffles", "mi", "--input", path("given.h5"), "--given", "/z")
    for name in "xyz":  # a file each
        with h5py.File(path("given.h5")) as f:
            np.save(path(f"{name}.npy"), f[name][:])
    files = "mi", "--x", path("x.npy"), "--y", path("y.npy"), "--given", path("z.npy"), "--shuffles", 0, "--quiet"
    good(*files, "--output", path("files.h5"))
    with h5py.File(path("files.h5")) as f:
        assert f.attrs["mutual_information"] == r["mutual_information"]
    fails(2, "--output: .*z.npy is also read", *files, "--output", path("z.npy"))
    fails(2, "--input: must be given, or", "mi", "--x", path("x.npy"))
    fails(3, "none.npy: cannot be read", "mi", "--x", path("x.npy"), "--y", path("none.npy"))
    np.save(path("y.npy"), np.zeros((7, 1)))
    fails(3, "y.npy has 7 rows, .*x.npy has 400", *files)


def columns_of_tables():
    """By their names, in the order that is asked for, whatever the others hold: what mige score reads is kept with the scores."""
    rng = np.random.default_rng(7)
    samples = rng.standard_normal((60, 3))
    named = 'who,z,"P, kPa",n,T\n' + "".join(f"'s,{z:.17g},{y:.17g},,{x:.17g}\n" for x, y, z in samples)

    def table(text):
        with open(path("table.csv"), "w") as f:
            f.write(text)
        return "score", "--input", path("table.csv"), "--output", path("table.h5"), "--quiet", "--dataset"

    for text in named, named.replace("'s,", "#1,"), named.replace("'s,", '"a ""b"", c",'):  # no remark, nor two fields
        good(*table(text), "T, z")
        with h5py.File(path("table.h5")) as f:
            assert (f["samples"][:] == samples[:, [0, 2]]).all()
    for text in ("# of 2020\n# x y z\n" + "".join(f"{x:.17g} {y:.17g} {z:.17g}\n" for x, y, z in samples),  # NumPy's savetxt
                 "# x,y,z\n# \n" + "".join(f"{x:.17g},{y:.17g},{z:.17g}\n" for x, y, z in samples) + "# end\n",
                 '# "remarks, 1, z\nx,2020,z\n' + "".join(f"{x:.17g},{y:.17g},{z:.17g}\n" for x, y, z in samples)):
        good(*table(text), "z,x")
        with h5py.File(path("table.h5")) as f:
            assert (f["samples"][:] == samples[:, [2, 0]]).all(), text[:20]
    good(*table("# id,2019,2020\nid,2019,2020\n" + "1,2,3\n5,4,6\n#7,8,9\n" * 20), "2019,2020")  # the first line has them all
    with h5py.File(path("table.h5")) as f:
        assert f["samples"].shape == (60, 2) and (f["samples"][2] == [8, 9]).all()
    for columns, text, why in (("a,d", "# a,b,c,d\n" + "1,2,3\n" * 9, "has 4 names, that 3"),
                               ("c", "# a,b\n" + "1,2\n" * 9, r'"c" is not known \(a\|b\)'),
                               ("T,y", named, '"y" is not known'), ("z,z", named, "named twice"), ("n,z", named, "line 2, field 4.*missing"),
                               ("T", named[named.index("\n") + 1:], "not known"), ("z", "z,y,z\n1,2,3\n", "same name"), ("z", "a|b,z\n1,2\n", "rename"),
                               ("b,a", 'a,b,c\n1,2,"x\n3,4,y"\n', "line 2: a quote is not closed")):
        fails(3, why, *table(text), columns)


def independent():
    """p-values are no smaller than they should be."""
    rng = np.random.default_rng(6)
    p = []
    for _ in range(8):
        write("null.h5", x=rng.standard_t(3, (60, 2)), y=rng.standard_normal((60, 1)))
        r = mi("null.h5", "--shuffles", 9)
        p.append(r["p_value"])
    assert np.allclose(np.array(p) * 10, np.round(np.array(p) * 10)) and 0.25 < np.mean(p) < 0.85, p


def ranks_agree():
    """With more blocks than one, and shuffles."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((300, 2))
    write("ranks.h5", x=x, y=x[:, :1] + rng.standard_normal((300, 1)))
    one = mi("ranks.h5", "--block", 120, "--shuffles", 3)
    for ranks in 2, 3:
        other = mi("ranks.h5", "--block", 120, "--shuffles", 3, ranks=ranks)
        assert all(np.allclose(one[k], other[k], rtol=0, atol=1e-10) for k in one), f"{ranks}: {one} {other}"


def refused():
    rng = np.random.default_rng(8)
    x, y = pair(60, 9)
    write("bad.h5", x=x, y=y, short=y[:50], twice=np.hstack([x, x[:, :1]]), few=np.r_[np.zeros(55, int), np.ones(5, int)],
          one=np.zeros(60, int), many=np.arange(60), nan=np.where(np.arange(60)[:, None] == 7, np.nan, y),
          constant=np.ones((60, 1)), little=x[:8], little_y=y[:8], linear=x @ [[2.0], [1.0]])
    for ranks in 1, 2:
        skip = 4 if ranks > 1 else 1
        for status, part, *more in ((3, "50 rows", "--y", "short"), (4, "x is in fewer than 3", "--x", "twice"),
                                    (3, "class 1 of few has 5 samples", "--y", "few"), (3, "single class", "--y", "one"),
                                    (3, "more of them than", "--y", "many"), (3, "row 7 is not finite", "--y", "nan"),
                                    (4, "y is in fewer than 1", "--y", "constant"), (3, "none.h5", "--input", path("none.h5")),
                                    (3, "8 samples are too few", "--x", "little", "--y", "little_y"),
                                    (4, "all variables together", "--y", "linear", *PLAIN), (2, "--memory|bad.h5", "--memory", "1e-5"),
                                    (2, "bad.h5", "--output", path("bad.h5")))[::skip]:
            fails(status, part, "mi", "--input", path("bad.h5"), "--quiet", "--shuffles", 0, *more, ranks=ranks)


def warned():
    """Values that are not of a continuous variable, and more than there can be."""
    rng = np.random.default_rng(11)
    x, y = pair(400, 12)
    clusters = np.arange(400) % 3
    out = x.copy()
    out[7, 1] = 30
    write("doubtful.h5", x=x, out=out, y=y, whole=np.round(y), half=np.where(np.arange(400)[:, None] % 2, y, 0), tenths=np.round(y, 2), few=x[:12],
          few_y=y[:12], far=100 * clusters[:, None] + rng.standard_normal((400, 5)), label=clusters)

    def warnings(a, b, *more):
        return " ".join(good("mi", "--input", path("doubtful.h5"), "--x", f"/{a}", "--y", f"/{b}", "--quiet", "--shuffles", 0,
                             *more).warnings)

    assert not warnings("x", "y") and not warnings("x", "tenths") and not warnings("few", "few_y")
    assert "column 0 of /whole" in warnings("x", "whole") and "200 of the 400 values" in warnings("half", "x")
    assert "1.0986 nats" in warnings("far", "label")
    assert "column 1 of /out has a value 16 standard" in warnings("out", "y", "--precondition", "whiten")
    assert not warnings("out", "y") and not warnings("x", "y", "--precondition", "none")
    walks, two = np.cumsum(rng.standard_normal((2, 400, 1)), 1), 9 * (np.arange(400)[:, None] % 2)
    with h5py.File(path("doubtful.h5"), "a") as f:
        f["walk"], f["other"], f["noise"], f["two"] = walks[0], walks[1], x[:, :1], x[:, :1] + two
        f["power"], f["bounded"] = x[:, :1] ** 3, np.tanh(x[:, :1])
        f["few_t"], f["line"], f["wave"] = x[:100, :1], x[:100, :1] + 0.14 * y[:100], np.sin(3 * x[:100, :1]) + 0.05 * y[:100]
    assert "follow one another" in warnings("walk", "other") and not warnings("walk", "noise")
    assert "a gap of" in warnings("two", "noise")
    steps, near = rng.integers(0, 5, 400)[:, None], 0.05 * rng.standard_normal((2, 400, 1))
    rounded = 0.08 * np.round(rng.standard_normal((400, 1)) / 0.08)  # has gaps everywhere, but no clusters
    waves = np.cos(np.pi * np.arange(400) / 2 + 0.3)[:, None]  # of period 4: rows two apart are opposite
    runs = np.repeat(rng.integers(0, 2, 40), 10)
    fills = np.where(np.arange(400)[:, None] % 25 == 3, -999, np.stack([x[:, :1], y]))
    with h5py.File(path("doubtful.h5"), "a") as f:
        f["groups"], f["groups_2"], f["rounded"] = steps + near[0], steps + near[1], rounded
        f["tide"], f["tide_2"] = waves + x[:, :1] / 9, waves + y / 9
        f["runs"], f["mixed"], f["filled"], f["filled_2"] = runs, runs[rng.permutation(400)], fills[0], fills[1]
        f["copies"], f["copies_2"] = np.tile(x[:133, :1], (3, 1)), np.tile(y[133:266], (3, 1))
        f["noised"], f["product"] = rng.standard_normal((400, 1)), x[:, :1] * x[:, 1:]
        f["first"], f["second"] = x[:, :1], x[:, 1:]
    assert "a gap of" in warnings("groups", "groups_2") and "a gap of" not in warnings("rounded", "noise")
    assert "rows follow one another" in warnings("tide", "tide_2") and "before" not in warnings("tide", "noise")
    assert "the row 1 before" in warnings("walk", "runs") and "before" not in warnings("walk", "mixed")
    assert "before" not in warnings("noise", "runs")
    assert "16 rows x and y both" in warnings("filled", "filled_2") and "both have" not in warnings("filled", "noise")
    assert "266 of the 399 rows" in warnings("copies", "copies_2") and "again" not in warnings("tenths", "mixed")
    # Few large values, rounded values that go together, and functions of what the rows are sorted by are none of these.
    sparse, whole = np.where(rng.random((400, 30)) < 0.01, rng.exponential(size=(400, 30)), 0), np.round(15 * x[:, :1])
    t = np.sort(x[:, :1], 0)
    with h5py.File(path("doubtful.h5"), "a") as f:
        f["sparse"], f["sorted"], f["whole_x"] = sparse + 1e-9 * rng.standard_normal((400, 30)), np.sort(runs), whole
        f["whole_y"], f["of_t"], f["by_t"] = whole + np.round(2 * y), np.hstack([t, t**2]), t + y / 9
    assert "before" not in warnings("sparse", "sorted") + warnings("of_t", "by_t")
    assert "both have" not in warnings("whole_x", "whole_y")
    # More pairs than halves of a block have samples: they are done without.
    warnings("whole_x", "mixed", "--estimator", "ssge", "--calibrate", "none", "--eigen", 110, "--block", 250)
    assert "function of the other and /second" in warnings("first", "product", "--given", "/second")
    assert "function of" not in warnings("first", "noised", "--given", "/second")
    assert "% less of what is not normal" in warnings("few_t", "wave") and not warnings("few_t", "line")
    assert "function of the other" in warnings("noise", "power")
    fails(4, "their information is infinite", "mi", "--input", path("doubtful.h5"), "--x", "/power", "--y", "/bounded")


def surface():
    """On a curve both Fisher informations are without bound, and their difference is lost; noise takes no information away there,
    which is seen and mended."""
    rng = np.random.default_rng(2)
    t = rng.standard_normal(1000)
    angle = 2 + 4 * (1 + np.vectorize(math.erf)(t / np.sqrt(2)))
    y = 0.75 * t + np.sqrt(1 - 0.75**2) * rng.standard_normal(1000)
    write("curve.h5", x=angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), y=y)
    r = good("mi", "--input", path("curve.h5"), "--shuffles", 2, "--quiet", "--output", path("curve-out.h5"))
    with h5py.File(path("curve-out.h5")) as f:
        value, J = f.attrs["mutual_information"], f["integrand"][()]
        assert abs(f["shuffled"][()]).max() < 0.15, f["shuffled"][()]
    assert "nearby x has 5" in r.warnings[0] and "rise with noise at 1 of 7 times" in r.warnings[1], str(r)
    assert abs(value + 0.5 * np.log(1 - 0.75**2)) < 0.06 and abs(J[0] - J[1]) < 1e-9, f"{value} {J}"


def thick():
    """Rings of some thickness beside what is shared: kernels miss the same of them in the pairs and in shuffled ones."""
    rng = np.random.default_rng(3)

    def ring():
        x = rng.standard_normal((1000, 3))
        return x / np.sqrt((x**2).sum(1))[:, None] * (1 + 0.1 * rng.standard_normal((1000, 1)))

    u = rng.standard_normal((1000, 1))
    write("rings.h5", x=np.c_[ring(), u], y=np.c_[ring(), 0.5 * u + np.sqrt(0.75) * rng.standard_normal((1000, 1))])
    r = good("mi", "--input", path("rings.h5"), "--shuffles", 0, "--quiet", "--output", path("rings-out.h5"))
    with h5py.File(path("rings-out.h5")) as f:
        assert abs(f.attrs["mutual_information"] - 0.144) < 0.03 and not r.warnings, str(r)


def given_may_rise():
    """I(x;y|z) of what is noised may rise with the noise: nothing is mended there."""
    rng = np.random.default_rng(6)
    z = rng.standard_normal((1500, 1))
    write("rise.h5", z=z, x=z + 0.1 * rng.standard_normal((1500, 1)), y=z + 0.1 * rng.standard_normal((1500, 1)))
    r = good("mi", "--input", path("rise.h5"), "--given", "z", "--shuffles", 0, "--quiet", "--output", path("rise-out.h5"))
    with h5py.File(path("rise-out.h5")) as f:
        assert abs(f.attrs["mutual_information"]) < 0.03 and f["integrand"][0] < -1 and not r.warnings, str(r)


def samples_doubted():
    """Samples that the value is not for: categories as floats, repeated rows, y a function of x; and such as it is for."""
    rng, n = np.random.default_rng(4), 400
    x, c = rng.normal(size=(n, 2)), np.arange(n) % 30
    cases = {"30 different values": (rng.permutation(30)[c].astype(float), c + 0.3 * rng.normal(size=n)),
             "200 of the 400 rows": (np.repeat(x[:200], 2, 0), np.repeat(rng.normal(size=(200, 1)), 2, 0)),
             "function of the other": (x[:, 0], x[:, 0] ** 2),
             "": (x, x + rng.normal(size=(n, 2)))}
    cases["function of the other "] = x, np.abs(x)
    for why, (a, b) in cases.items():
        write("doubts.h5", x=a, y=b)
        r = good("mi", "--input", path("doubts.h5"), "--shuffles", 0, "--quiet", ranks=3 if why.endswith("other") else 1)
        assert (len(r.warnings) > 0) == (why != "") and why.strip() in r.err, f"{why}: {r}"
    write("doubts.h5", x=x, y=np.arange(n)[None] % 4)
    fails(3, "its transpose", "mi", "--input", path("doubts.h5"))


def main():
    cases = Cases()
    cases.run("definition", definition)
    cases.run("definition nothing left", definition_nothing_left)
    cases.run("definition with labels", definition_labels)
    cases.run("truth", truth)
    cases.run("truth with labels", truth_labels)
    cases.run("given", given)
    cases.run("columns of tables", columns_of_tables)
    cases.run("independent", independent)
    cases.run("the same on any number of ranks", ranks_agree)
    cases.run("refused", refused)
    cases.run("warned of", warned)
    cases.run("samples doubted", samples_doubted)
    cases.run("samples on a curve", surface)
    cases.run("rings of some thickness", thick)
    cases.run("given what may rise", given_may_rise)
    cases.end()


if __name__ == "__main__":
    main()
