#!/usr/bin/env python3
"""mige score beyond scores: second derivatives, and what is told of scores that are wrong."""
import re

import h5py
import numpy as np

from program import Cases, fails, good, path


def write(name, **sets):
    with h5py.File(path(name), "w") as f:
        for key, value in sets.items():
            f[key] = value


def hessian(ranks):
    """In and out of sample the derivative of the scores that are given, by any estimator and calibration."""
    rng = np.random.default_rng(10)
    D, e = 3, 1e-4
    X, P = rng.standard_normal((300, D)) * [1, 2, 3] + 5, rng.standard_normal((10, D)) + 5
    P[:5] = X[:5]
    steps = np.concatenate([P] + [P + s * e * np.eye(D)[d] for d in range(D) for s in (1, -1)])
    write("hessian.h5", samples=X, points=steps)
    for more in (("ssge",), ("ssge", "--calibrate", "scale"), ("stein",), ("stein", "--calibrate", "stein"),
                 ("stein", "--solver", "cg", "--eta", "1", "--calibrate", "stein", "--tolerance", "1e-10")):
        good("score", "--input", path("hessian.h5"), "--points", path("hessian.h5"), "--hessian", "--output",
             path("hessian-out.h5"), "--quiet", "--estimator", *more, ranks=ranks)
        with h5py.File(path("hessian-out.h5")) as f:
            s, H, at = f["score_points"][()], f["hessian_diagonal_points"][:10], f["hessian_diagonal"][()]
        s = s[10:].reshape(D, 2, 10, D)
        want = np.stack([(s[d, 0, :, d] - s[d, 1, :, d]) / (2 * e) for d in range(D)], 1)
        assert abs(H - want).max() < 1e-5 * abs(want).max(), f"{more}: {abs(H - want).max()} of {abs(want).max()}"
        assert np.allclose(at[:5], H[:5], rtol=1e-8) and at.shape == X.shape
    fails(2, "--hessian", "score", "--input", path("hessian.h5"), "--hessian", "--output", path("none.h5"),
          "--precondition", "whiten")
    write("hessian.h5", samples=np.r_[1e-6 * X[:99], np.full((1, D), 1e149)])
    fails(4, "not finite", "score", "--input", path("hessian.h5"), "--hessian", "--output", path("none.h5"), ranks=ranks)


def hessian_normal():
    """2 % of -1/variance with a wide kernel: of the samples' own, to which the scores are calibrated."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((2000, 10)) * np.linspace(0.5, 3, 10)
    write("normal.h5", samples=X)
    smooth = good("score", "--input", path("normal.h5"), "--hessian", "--output", path("normal-out.h5"), "--quiet",
                  "--estimator", "stein", "--calibrate", "stein", "--width-scale", 5, "--eta", 10)
    assert not smooth.warnings, smooth.warnings
    with h5py.File(path("normal-out.h5")) as f:
        H = f["hessian_diagonal"][()]
    rough = good("score", "--input", path("normal.h5"), "--hessian", "--output", path("normal-out.h5"), "--quiet",
                 "--estimator", "stein", "--calibrate", "stein").warnings
    with h5py.File(path("normal-out.h5")) as f:
        gap = np.mean(np.abs(f["hessian_diagonal"][()].mean(0) / (f["score"][()] ** 2).mean(0) + 1))
    assert len(rough) == 2 and f"differs by {100 * gap:.0f} %" in rough[0] and gap > 0.1 and "off at others" in rough[1], rough
    own, true = np.diag(np.linalg.inv(np.cov(X.T))), np.linspace(0.5, 3, 10) ** -2.0
    assert np.sqrt(((H / own + 1) ** 2).mean()) < 0.02, np.sqrt(((H / own + 1) ** 2).mean())
    assert abs((H / true + 1).mean()) < 0.02 and abs((H / true + 1).mean(0)).max() < 0.1, (H / true + 1).mean(0)


def scores_doubted():
    """Scores that are none, or far too large; and points where there are none."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 3))
    write("doubts.h5", uneven=x * [1, 100, 1], even=x, sums=np.c_[x[:, :2], x[:, 0] + x[:, 1]], far=x[:4] + 1e3, beyond=x[:4] * [0, 1, 0] + [6, 0, 0],
          constant=x * [1, 0, 1] + 3)

    def score(dataset, *more):
        return good("score", "--input", path("doubts.h5"), "--dataset", dataset, "--output", path("out.h5"), "--quiet", *more)

    for dataset, *more, why in (("/uneven", "column (0|2) fulfil .*whiten"), ("/even", "--width", 1e3, "Stein's identity"), ("/even", "--threshold", 1, "times those of normal"),
                                ("/even", "--points", path("doubts.h5"), "--points-dataset", "/far", "4 of 4 points are so far"),
                                ("/even", "--points", path("doubts.h5"), "--points-dataset", "/beyond", "4 of 4 points lie farther"),
                                ("/constant", "column 1 is constant")):
        r = score(dataset, *more)
        assert len(r.warnings) == 1 and re.search(why, r.warnings[0]), f"{why}: {r}"
    for more in (), ("--estimator", "stein", "--calibrate", "stein"), ("--points", path("doubts.h5"), "--points-dataset", "/even"):
        assert not score("/even", *more).warnings
    assert not score("/uneven", "--precondition", "whiten").warnings
    with h5py.File(path("doubts.h5"), "a") as f:
        z = rng.normal(size=(1000, 4))
        f["line"], f["third"] = z[:, :2] @ [[1, 0.99], [0, np.sqrt(1 - 0.99**2)]], np.c_[z[:, :2], z[:, 0] + z[:, 1] + 0.01 * z[:, 2]]
        f["clusters"] = 30 * rng.normal(size=(10, 4))[np.arange(1000) % 10] + z
        f["two"] = np.c_[3 * np.sign(z[:500, 0]) + 0.3 * z[:500, 1], z[:500, 2]]
        f["steep"], f["off"] = z[:, :2] @ [[1, 0.95], [0, np.sqrt(1 - 0.95**2)]], np.array([[2, -2], [1, -1.0]])
        f["edges"], f["tail"], f["mild"] = rng.random((1000, 2)), rng.exponential(size=(1000, 2)), np.r_[z[:500], z[500:] + [3, 0, 0, 0]]
    smooth = ("--estimator", "stein", "--calibrate", "stein", "--width-scale", 3, "--eta", 10, "--hessian")
    for dataset, *more, why in (("/line", "--calibrate", "scale", "across the columns.*whiten"), ("/third", "across the columns"),
                                ("/clusters", "smoother than the samples"), ("/clusters", "--precondition", "whiten", "smoother"),
                                ("/two", "smoother"), ("/edges", "off at others.*edges"), ("/two", *smooth, "smoother"),
                                ("/steep", "--points", path("doubts.h5"), "--points-dataset", "/off", "2 of 2 points lie farther")):
        r = score(dataset, *more)
        assert any(re.search(why, w) for w in r.warnings) and len(r.warnings) <= 1 + ("--hessian" in more), f"{why}: {r}"
    with h5py.File(path("doubts.h5"), "a") as f:  # whose score is normal, though not all columns have a density
        f["mixed"] = np.c_[z[:, :3], z[:, 3] > 0]
        f["heavy"] = z[:, :2] / np.sqrt(rng.chisquare(5, 1000) / 5)[:, None]
    for dataset, *more in (("/mixed",), ("/heavy",), ("/mixed", "--eigen", 12), ("/line", "--precondition", "whiten"), ("/third", "--precondition", "whiten"), ("/tail",), ("/mild",), ("/steep",),
                           ("/steep", "--points", path("doubts.h5"), "--points-dataset", "/steep")):
        r = score(dataset, *more)
        assert not r.warnings, str(r)
    with h5py.File(path("doubts.h5"), "a") as f:
        f["back"] = h5py.ExternalLink("doubts.h5", "/even")  # to the same file
    score("/back")
    fails(4, "sum of others", "score", "--input", path("doubts.h5"), "--dataset", "/sums", "--output", path("out.h5"), "--estimator", "stein",
          "--calibrate", "stein")


def scores_judged():
    """Too few samples for the options: told, with options that are better, which are. In the file: how far they are off."""
    X = np.random.default_rng(6).standard_normal((300, 20))
    write("judged.h5", samples=X)
    told = {}
    for ranks, more in (1, ()), (3, ()), (1, ("--precondition", "whiten")):
        r = good("score", "--input", path("judged.h5"), "--output", path("judged-out.h5"), *more, ranks=ranks)
        assert len(r.warnings) == 1 and (by := re.search(r"about (\d+) % off at others, by (--.*) alone (\d+) %", r.warnings[0])), str(r)
        told[ranks, more] = by.groups()
        with h5py.File(path("judged-out.h5")) as f:
            off, said = np.linalg.norm(f["score"][()] + X) / np.linalg.norm(X), f.attrs["relative_error_squared"] ** 0.5
        assert abs(off - said) < 0.15 and f"{100 * said:.0f}" == by[1] and int(by[3]) < 40, (off, said, by[1])
    assert told[1, ()] == told[3, ()], told
    assert not good("score", "--input", path("judged.h5"), "--output", path("judged-out.h5"), *told[1, ()][1].split()).warnings
    with h5py.File(path("judged-out.h5")) as f:
        off, said = np.linalg.norm(f["score"][()] + X) / np.linalg.norm(X), f.attrs["relative_error_squared"] ** 0.5
    assert abs(off - said) < 0.1 and said < 0.35, (off, said)


def main():
    cases = Cases()
    for ranks in 1, 3:
        cases.run(f"hessian on {ranks}", hessian, ranks)
    cases.run("scores doubted", scores_doubted)
    cases.run("scores judged", scores_judged)
    cases.run("hessian of normal samples", hessian_normal)
    cases.end()


if __name__ == "__main__":
    main()
