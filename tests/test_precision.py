"""Training with bfloat16 against float, on this processor's kernels or emulated: the first step's gradient, any number of
ranks, and a stop in between. What each layer computes is test_half's."""
import os
import re

import h5py
import numpy as np
from program import Cases, fails, good, mige, path

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "cifar10-sample.h5")
TRAIN = ("train", "--data", DATA, "--quiet", "--batch", 64)
HALF = ("--precision", "bfloat16")
STEPS = 6
IB = ("--task", "ib", "--objective", "dvb", "--encoder", "mlp:300,256", "--average", 0.9, "--code", 8)


def gradient(folder):
    """All of it: Adam's first moment after a step is in proportion."""
    found = []
    with h5py.File(os.path.join(folder, "checkpoint-1.h5")) as f:
        f["adam_m"].visititems(lambda _, x: found.append(x[()].ravel().astype(float)) if isinstance(x, h5py.Dataset) else None)
    return np.concatenate(found)


def series(folder, name="loss"):
    with h5py.File(os.path.join(folder, "metrics.h5")) as f:
        return f["train"][name][:]


def train(name, *options, ranks=1):
    good(*TRAIN, "--out", path(name), *options, ranks=ranks)
    return path(name)


def against_float(name, cosine, *options):
    """The bounds are somewhat above what rounding does: signs of ReLUs that it turns over are nearly all of it."""
    a = gradient(train(f"{name}-float", "--precision", "float", "--steps", 1, *options))
    b = gradient(train(f"{name}-half", *HALF, "--steps", 1, *options))
    size, same = np.linalg.norm(b) / np.linalg.norm(a), a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    print(f"# {name}: norm {size:.4f}, cosine {same:.5f}")
    assert abs(size - 1) < 0.02 and cosine < same < 1 - 1e-9, (size, same)


def any_ranks(name, *options):
    whole = train(f"{name}-1", *HALF, "--steps", STEPS, "--checkpoint-every", 1, "--keep-every", 1, *options)
    for ranks in 2, 3, 5:
        part = train(f"{name}-{ranks}", *HALF, "--steps", STEPS, "--checkpoint-every", 1, "--keep-every", 1, *options, ranks=ranks)
        a, b = gradient(part), gradient(whole)
        assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(b), np.linalg.norm(a - b) / np.linalg.norm(b)
        assert np.allclose(series(part), series(whole), rtol=1e-2, atol=0), series(part) / series(whole) - 1


def stopped():
    """After a stop, the same numbers to the last bit."""
    whole = train("whole", *HALF, "--steps", STEPS)
    train("stopped", *HALF, "--steps", 2)
    train("stopped", *HALF, "--steps", STEPS, "--resume")
    assert np.array_equal(series(path("stopped")), series(whole))


def passes():
    """Where the norm is wanted before parameters move, the sum and the optimiser's step are two passes: the same bits."""
    for name, options in (("encoder", ()), ("mlp", IB)):
        for ranks in 1, 3:
            one = train(f"one-{name}-{ranks}", *HALF, "--steps", 3, *options, ranks=ranks)
            two = train(f"two-{name}-{ranks}", *HALF, "--steps", 3, "--clip", 1e9, *options, ranks=ranks)
            for key in "loss", "gradient_norm":
                assert np.allclose(series(one, key), series(two, key), rtol=1e-6 if key == "gradient_norm" else 0, atol=0), key


def averages(folder):
    found = []
    with h5py.File(os.path.join(folder, "checkpoint-3.h5")) as f:
        f["average"].visititems(lambda _, x: found.append(x[()].ravel()) if isinstance(x, h5py.Dataset) else None)
    return np.concatenate(found)


def average():
    """Of an odd number of steps, with nothing that reads it before, or checkpoints in between: the same bits."""
    once = train("average-once", *HALF, "--steps", 3, "--test-every", 0, *IB)
    each = train("average-each", *HALF, "--steps", 3, "--test-every", 0, "--checkpoint-every", 1, *IB, ranks=2)
    assert np.allclose(averages(once), averages(each), rtol=0, atol=1e-6), abs(averages(once) - averages(each)).max()
    again = train("average-again", *HALF, "--steps", 3, "--test-every", 0, "--checkpoint-every", 1, *IB)
    assert np.array_equal(averages(once), averages(again))


def precision_of(folder):
    with open(os.path.join(folder, "config.ini"), encoding="utf-8") as f:
        return next((line.split()[-1] for line in f if line.startswith("precision")), None)


def forget(folder):
    """As runs of earlier versions are, which do not name their precision."""
    with open(os.path.join(folder, "config.ini"), encoding="utf-8") as f:
        lines = [line for line in f if not line.startswith("precision")]
    with open(os.path.join(folder, "config.ini"), "w", encoding="utf-8") as f:
        f.writelines(lines)
    with h5py.File(os.path.join(folder, "checkpoint-2.h5"), "r+") as f:
        del f.attrs["sealed"]
        text = f.attrs["trajectory"]
        text = text.decode() if isinstance(text, bytes) else text
        f.attrs["trajectory"] = np.bytes_("".join(line + "\n" for line in text.splitlines() if not line.startswith("precision")))


def goes_on():
    """auto is what the run began with, whatever the processor and the threads; another one is refused."""
    for precision, other in (("bfloat16", "float"), ("float", "bfloat16")):
        run = train(f"on-{precision}", "--precision", precision, "--steps", 2)
        fails(3, f'--precision: .*"{precision}", this command "{other}"', *TRAIN, "--out", run, "--precision", other, "--steps", 3, "--resume")
        for steps, threads in ((3, 1), (4, 2)):
            r = mige(*TRAIN, "--out", run, "--steps", steps, "--resume", "--threads", threads)
            assert r.status == 0, str(r)
            assert precision_of(run) == precision and len(series(run)) == steps
    old = train("old", "--precision", "float", "--steps", 2)
    forget(old)
    good(*TRAIN, "--out", old, "--steps", 3, "--resume")
    assert precision_of(old) == "float"


def recorded():
    """A file tells the precision that it was made with, not that it was chosen."""
    features = path("recorded.h5")
    good("encode", "--run", train("recorded", "--precision", "float", "--steps", 1), "--data", DATA, "--layers", "y", "--quiet", "--output", features)
    with h5py.File(features) as f:
        words = " ".join(str(value) for value in f.attrs.values())
    assert "precision = auto" not in words and re.search("precision = (float|bfloat16)", words), words


def said():
    """What runs is said, and what is not there is not passed off as fast."""
    kernel = next(line.split(None, 1)[1].split(",")[0] for line in good("info").out.splitlines() if line.startswith("bfloat16"))
    dry = (*TRAIN[:3], "--dry-run")
    r = mige(*dry, *HALF)
    assert r.status == 0 and f"bfloat16 by {kernel}" in r.out + r.err, str(r)
    assert ("emulated" in kernel) == bool(r.warnings), str(r)
    auto = mige(*dry)
    assert ("float" if "emulated" in kernel else f"bfloat16 by {kernel}") in auto.out + auto.err, str(auto)
    fails(2, "--precision.*auto", *dry, "--precision", "half")


def encoded():
    """Features of a run are nearly those of float."""
    run = train("features", "--precision", "float", "--steps", 1)
    for precision in "float", "bfloat16":
        good("encode", "--run", run, "--data", DATA, "--layers", "y", "--quiet", "--precision", precision, "--output", path(f"{precision}.h5"))
    with h5py.File(path("float.h5")) as a, h5py.File(path("bfloat16.h5")) as b:
        x, y = a["test/y"][:], b["test/y"][:]
    error = np.linalg.norm(x - y) / np.linalg.norm(x)
    print(f"# features: {error:.1e}")
    assert 1e-6 < error < 0.02, error


cases = Cases()
cases.run("first gradient I", against_float, "I", 0.99)
cases.run("first gradient views", against_float, "views", 0.98, "--circumstance", "views")
cases.run("first gradient infonce", against_float, "infonce", 0.98, "--objective", "infonce")
cases.run("first gradient dvb", against_float, "dvb", 0.995, *IB)
cases.run("ranks I", any_ranks, "ranks")
cases.run("ranks dvb", any_ranks, "ranks-dvb", *IB)
cases.run("stopped", stopped)
cases.run("one pass or two", passes)
cases.run("average", average)
cases.run("goes on", goes_on)
cases.run("recorded", recorded)
cases.run("said", said)
cases.run("encoded", encoded)
cases.end()
