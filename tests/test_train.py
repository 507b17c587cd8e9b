#!/usr/bin/env python3
"""Training, features and probes do not depend on the number of ranks, nor training on having been killed."""
import os
import sys
import time

import h5py
import numpy as np

from program import CLASSES, Cases, Program, good, path, pictures, write_cifar, write_data

DATA = path("data.h5")
STEPS = 20
SHORT = ("--data", DATA, "--batch", 64, "--precision", "float", "--quiet")


def prepare():
    write_cifar(path("cifar"))
    good("convert", "--format", "cifar10", "--from", path("cifar"), "--output", DATA)
    with h5py.File(DATA) as f:
        images, labels = pictures(640, 1)
        order = np.concatenate([np.arange(640)[b::5] for b in range(5)])
        assert np.array_equal(f["train/images"], images[order]) and np.array_equal(f["train/labels"], labels[order])
        assert np.array_equal(f["test/images"], pictures(200, 2)[0]) and len(f["class_names"]) == CLASSES
    good("train", *SHORT, "--out", path("whole"), "--steps", STEPS)


def series(run):
    with h5py.File(os.path.join(run, "metrics.h5")) as f:
        assert f.attrs["complete"] == 1
        return {name: f["train"][name][:] for name in f["train"]}


def tensors(run, step, group):
    with h5py.File(os.path.join(run, f"checkpoint-{step}.h5")) as f:
        return {name: f[group][name][:].astype(float) for name in f[group]}


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def same_series(a, b):
    """Relative differences, step by step. Adam carries roundings from step to step, which the gradient's norm shows most."""
    assert np.array_equal(a["step"], b["step"]), f"steps {a['step']} and {b['step']}"
    for name, most in ("loss", 1e-3), ("gradient_norm", 1e-2), ("z_width", 1e-3), ("code_deviation", 1e-3):
        if name in a or name in b:
            size = np.max(np.abs(b[name])) if name == "loss" else np.abs(b[name])  # a loss may pass 0
            worst = np.max(np.abs(a[name] - b[name]) / size)
            assert worst < most, f"{name} differs by {worst:.1e}"


def metrics():
    s = series(path("whole"))
    assert np.array_equal(s["step"], np.arange(1, STEPS + 1)), s["step"]
    for name in ("loss", "gradient_norm", "epoch", "learning_rate", "images_per_second", "z_eigen", "z_width",
                 "xz_eigen", "xz_width"):
        assert name in s and len(s[name]) == STEPS and np.isfinite(s[name]).all(), name
    assert np.allclose(s["epoch"], s["step"] / 10) and (s["learning_rate"] == 1e-4).all()
    assert (s["gradient_norm"] > 0).all() and (s["z_eigen"] >= 1).all() and (s["z_eigen"] <= 64).all()
    with h5py.File(path("whole", "metrics.h5")) as f:
        assert all("units" in f["train"][n].attrs and "long_name" in f["train"][n].attrs for n in f["train"])
        assert f["train/step"].maxshape == (None,)


def first_step(ranks):
    """Adam's first moment is (1 - beta1) times the first gradient; then the rest of the steps."""
    run, alone = path(f"ranks-{ranks}"), path("ranks-1")
    good("train", *SHORT, "--out", run, "--steps", 1, ranks=ranks)
    m, m1 = tensors(run, 1, "adam_m/encoder"), tensors(alone, 1, "adam_m/encoder")
    norm = np.sqrt(sum((g**2).sum() for g in m.values())) / 0.5
    assert abs(norm / series(run)["gradient_norm"][0] - 1) < 1e-5, "gradient_norm is not the gradient's norm"
    assert abs(series(run)["gradient_norm"][0] / series(path("whole"))["gradient_norm"][0] - 1) < 1e-5
    largest = max(np.abs(g).max() for g in m1.values())
    for name in m1:
        if np.abs(m1[name]).max() > 1e-6 * largest:  # of what the gradient is not zero of itself
            assert relative(m[name], m1[name]) < 1e-5, f"gradient of {name}: {relative(m[name], m1[name]):.1e}"
    p, p1 = tensors(run, 1, "encoder"), tensors(alone, 1, "encoder")
    for name in p1:
        if "running" in name:
            assert relative(p[name], p1[name]) < 1e-5, name
        else:  # Adam's first step is the sign of the gradient: those near zero may fall either way
            off = np.abs(p[name] - p1[name])
            assert off.max() < 2.01e-4 and (off > 1e-6).mean() < 0.01, f"{name}: {(off > 1e-6).mean():.1e}"
    good("train", *SHORT, "--out", run, "--steps", STEPS, "--resume", ranks=ranks)
    same_series(series(run), series(path("whole")))


def interval(ranks):
    """One step on all images that moves nothing: the code's covariance there is that of its features."""
    run, y = path(f"still-{ranks}"), path(f"still-{ranks}.h5")
    good("train", "--data", DATA, "--quiet", "--precision", "float", "--task", "ib", "--objective", "ce", "--encoder", "mlp:16", "--code", 8,
         "--batch", 640, "--steps", 1, "--learning-rate", 1e-12, "--out", run, ranks=ranks)
    good("encode", "--run", run, "--layers", "y", "--output", y, "--precision", "float", "--quiet")
    with h5py.File(y) as f, h5py.File(os.path.join(run, "metrics.h5")) as g:
        values = np.linalg.eigvalsh(np.cov(f["train/y"][()].astype(float).T))[::-1]
        found = {name: d[()] for name, d in g["interval"].items()}
    for i in 1, 2, 4, 8:
        assert np.allclose(found[f"code_eigenvalue_{i}"], [values[i - 1] / values.sum()], rtol=1e-4, atol=1e-7), i
    assert np.allclose(found["code_dimensions"], [values.sum() ** 2 / (values**2).sum()], rtol=1e-4)
    parts = sum(found[f"seconds_{n}"] for n in ("load", "forward", "gather", "score", "backward", "all-reduce", "update"))
    assert list(found["step"]) == [1] and 0 < parts[0] < found["seconds_step"][0]


def variant(name, batch, *options):
    """Other ways to train, a few steps, on one rank and on three."""
    runs = []
    for ranks in 1, 3:
        runs.append(path(f"{name}-{ranks}"))
        good("train", "--data", DATA, "--quiet", "--precision", "float", "--batch", batch, "--steps", 6, "--out", runs[-1], *options,
             ranks=ranks)
    a, b = series(runs[1]), series(runs[0])
    same_series(a, b)
    assert abs(a["gradient_norm"][0] / b["gradient_norm"][0] - 1) < 1e-5
    whole = series(path("whole"))
    assert abs(a["loss"][1] / whole["loss"][1] - 1) > 1e-3, "it made no difference"
    expected = {"II": ("h", "hz"), "I+II": ("xz", "h", "hz")}.get(options[1], ("xz",))
    found = tuple(n for n in ("xz", "h", "hz") if f"{n}_width" in a)
    assert found == expected, found


def newest(run):
    """The step of the newest checkpoint; older ones than two are not kept."""
    found = os.listdir(run) if os.path.isdir(run) else []
    return max((int(f[11:-3]) for f in found if f.startswith("checkpoint-") and f.endswith(".h5")), default=0)


def killed(name, *extra):
    """Killed twice, each time gone on with on another number of ranks: no step is missing or there twice."""
    run, whole = path(f"killed-{name}"), path("whole")
    if extra:
        whole = path(f"whole-{name}")
        good("train", *SHORT, "--out", whole, "--steps", STEPS, *extra)
    options = ("train", *SHORT, "--out", run, "--steps", STEPS, "--checkpoint-every", 2, *extra)
    for ranks, until in (2, 4), (3, 10):
        p = Program(*options, *(["--resume"] if until > 4 else []), ranks=ranks)
        end = time.monotonic() + 60
        while time.monotonic() < end and newest(run) < until:
            assert p.process.poll() is None, str(p.result())
            time.sleep(0.01)
        time.sleep(0.05 * ranks)
        p.kill()
        steps = series(run)["step"]
        assert until <= len(steps) < STEPS and np.array_equal(steps, np.arange(1, len(steps) + 1)), steps
    good(*options, "--resume")
    same_series(series(run), series(whole))
    good("verify", *(os.path.join(run, f) for f in os.listdir(run) if f.endswith(".h5")))


def conv(x, weight):
    """Kernel 4, stride 2, padding 1; x [n][h][w][c], weight [out][4][4][c]."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    n, side = len(x), (x.shape[1] - 4) // 2 + 1
    y = np.zeros((n, side, side, len(weight)))
    for i in range(4):
        for j in range(4):
            y += x[:, i : i + 2 * side : 2, j : j + 2 * side : 2] @ weight[:, i, j].T
    return y


def encoder(images, t):
    """The encoder's features in double precision from a checkpoint's tensors."""

    def norm(x, k):
        scaled = (x - t[f"norm{k}.running_mean"]) / np.sqrt(t[f"norm{k}.running_var"] + 1e-5)
        return np.maximum(scaled * t[f"norm{k}.weight"] + t[f"norm{k}.bias"], 0)

    x = images.transpose(0, 2, 3, 1) / 127.5 - 1
    for k in 1, 2, 3:
        x = norm(conv(x, t[f"conv{k}.weight"]), k)
    features = {"conv": x.reshape(len(x), -1)}
    weight = t["fc.weight"].reshape(1024, -1)
    features["fc"] = norm(features["conv"] @ weight.T, 4)
    features["y"] = features["fc"] @ t["y.weight"].reshape(-1, 1024).T + t["y.bias"]
    return features


def encode():
    found = {}
    for ranks in 1, 3:
        good("encode", "--run", path("whole"), "--output", path(f"features-{ranks}.h5"), "--precision", "float", "--quiet", ranks=ranks)
        with h5py.File(path(f"features-{ranks}.h5")) as f:
            found[ranks] = {f"{s}/{n}": f[s][n][:] for s in ("train", "test") for n in f[s]}
    with h5py.File(DATA) as f:
        images = f["test/images"][:]
        for split in "train", "test":
            assert np.array_equal(found[3][f"{split}/labels"], f[split]["labels"]), "labels"
    for name, x in found[1].items():
        assert x.dtype == (np.int32 if "labels" in name else np.float32), name
        assert relative(found[3][name].astype(float), x) < 1e-5, name
    assert found[1]["train/conv"].shape == (640, 4096) and found[1]["test/fc"].shape == (200, 1024)
    expected = encoder(images[::40], tensors(path("whole"), STEPS, "encoder"))
    for name, x in expected.items():
        off = relative(found[1][f"test/{name}"][::40], x)
        assert off < 1e-5, f"{name}: {off:.1e}"
    good("encode", "--run", path("whole"), "--untrained", "--precision", "float", "--layers", "y", "--data", DATA, "--output",
         path("untrained.h5"))
    with h5py.File(path("untrained.h5")) as f:
        assert list(f["test"]) == ["labels", "y"] and relative(f["test/y"][:], found[1]["test/y"]) > 0.1


def encode_bottleneck():
    """Feature y is the code without noise, however many draws there were: mu, the first half of layer y."""
    run, to = path("bottleneck"), path("bottleneck.h5")
    good("train", *SHORT, "--out", run, "--steps", 3, "--task", "ib", "--objective", "dvb", "--encoder", "mlp:16", "--code", 4,
         "--draws", 3)
    good("encode", "--run", run, "--output", to, "--precision", "float", "--quiet")
    t = tensors(run, 3, "encoder")
    with h5py.File(to) as f:
        expected = f["test/fc"][:] @ t["y.weight"].reshape(8, 16)[:4].T + t["y.bias"][:4]
        assert f["test/y"].shape == (200, 4) and relative(f["test/y"][:], expected) < 1e-5


def too_noisy():
    """The score of z cannot be larger than that of z given the image: an estimate that is, is noise, and said to be."""
    for eta, warns in (1e-3, True), (10, False):
        run = path(f"noisy-{eta}")
        r = good("train", *SHORT, "--out", run, "--task", "ib", "--objective", "mige-ib", "--estimator", "stein", "--eta", eta,
                 "--calibrate", "scale", "--beta", 1, "--scale-penalty", 0.01, "--encoder", "mlp:32", "--code", 64,
                 "--sigma-range", "0.3:1", "--learning-rate", 1e-3, "--steps", 110)
        assert ("noise of too few samples" in r.err) == warns, f"eta {eta}: {r}"


def dead_units():
    """Moments of units that have died are zero, not subnormal, which would cost each later step many times over."""
    run, dark, least = path("dead"), path("dark.h5"), np.finfo(np.float32).tiny
    images, labels = pictures(640, 1)
    write_data(dark, images // 16, labels)
    good("train", "--data", dark, "--out", run, "--task", "ib", "--objective", "ce", "--encoder", "mlp:64", "--code", 8, "--batch", 20,
         "--learning-rate", 0.03, "--steps", 400, "--precision", "float", "--quiet")
    m = np.abs(tensors(run, 400, "adam_m/encoder")["fc1.weight"])
    assert (m[:, 0] == 0).sum() > 8, "no unit has died"
    assert not ((0 < m) & (m < least)).any(), f"{((0 < m) & (m < least)).mean():.0%} are subnormal"


def probe():
    accuracy, tables = {}, {}
    for ranks in 1, 3:
        r = good("probe", "--run", path("whole"), "--layers", "fc,y", "--probe-epochs", 4, "--probe-rate", 1e-3,
                 "--untrained", "--quiet", ranks=ranks)
        tables[ranks] = r.out
        with h5py.File(path("whole", "probe.h5")) as f:
            accuracy[ranks] = {f"{k}/{n}": f[k][n]["accuracy"][:] for k in ("trained", "untrained") for n in f[k]}
            assert f.attrs["step"] == STEPS and f.attrs["test_images"] == 200
    assert sorted(accuracy[1]) == ["trained/fc", "trained/y", "untrained/fc", "untrained/y"], sorted(accuracy[1])
    for name, a in accuracy[1].items():
        assert len(a) == 4 and np.abs(a - accuracy[3][name]).max() <= 1, f"{name}: {a} and {accuracy[3][name]}"
        assert f"{a[-1]:.2f}" in tables[1], f"{name}: {a[-1]} is not in {tables[1]}"
    assert accuracy[1]["trained/fc"][-1] > 30, accuracy[1]


def main():
    cases = Cases()
    cases.run("prepare", prepare)
    cases.run("metrics", metrics)
    for ranks in 1, 2, 3, 4:
        cases.run(f"first step and {STEPS} more np {ranks}", first_step, ranks)
    for ranks in 1, 3:
        cases.run(f"interval np {ranks}", interval, ranks)
    cases.run("too noisy", too_noisy)
    cases.run("dead units", dead_units)
    cases.run("circumstance II", variant, "II", 64, "--circumstance", "II")
    cases.run("circumstances I+II", variant, "I+II", 50, "--circumstance", "I+II")
    cases.run("estimator stein", variant, "stein", 64, "--estimator", "stein", "--calibrate", "stein",
              "--fresh-projection")
    cases.run("killed and gone on with", killed, "mige")
    cases.run("killed with critic and discriminator", killed, "jsd", "--objective", "jsd", "--prior-matching", 1,
              "--learning-rate", 1e-5)  # adversaries make much of a rounding
    cases.run("killed with classifier and averaged weights", killed, "ib", "--task", "ib", "--objective", "mige-ib",
              "--encoder", "mlp:2048,512", "--code", 8, "--draws", 16, "--conditional", "ssge",
              "--learning-rate", 1e-5)  # slow enough to be killed
    cases.run("encode", encode)
    cases.run("encode bottleneck", encode_bottleneck)
    cases.run("probe", probe)
    cases.end()


if __name__ == "__main__":
    main()
