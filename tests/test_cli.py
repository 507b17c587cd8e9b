#!/usr/bin/env python3
"""The command line: exit statuses, one message a failure, and what is left behind; alone and on three ranks."""
import os
import re
import shutil
import sys

import h5py
import numpy as np

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ref"))
import make_score
from program import (CLASSES, DATA, MPIRUN, RUN, Cases, Program, contents, copy_of_run, fails, fresh, good, mount, path, pictures,
                     prepare_run, train, unmount, write_data, write_records)

COMMANDS = ("train", "probe", "encode", "score", "toy", "scale", "convert", "watch", "info", "verify")


def score(output, *more):
    return ("score", "--input", path("samples.h5"), "--output", output, *more)


def prepare():
    prepare_run()
    rng = np.random.default_rng(3)
    with h5py.File(path("samples.h5"), "w") as f:
        x = rng.normal(size=(150, 4))
        f["samples"] = x
        f["crooked"] = np.c_[x[:, 0], x[:, 1] + x[:, 0] ** 2, np.exp(x[:, 2])].astype(np.float32)
        f["points"] = rng.normal(size=(9, 4))
        f["cube"] = np.ones((5, 2, 2))
        f["same"] = np.ones((40, 3))
        x = x.copy()
        x[17, 2] = np.nan
        f["nan"] = x


# ---- what is only asked


def version(ranks):
    r = good("--version", ranks=ranks)
    assert r.out.startswith("mige ") and len(r.out.splitlines()) == 1 and not r.err.strip(), str(r)


def help_text(ranks):
    r = good("--help", ranks=ranks)
    assert all(f"  {c} " in r.out for c in COMMANDS) and not r.err.strip(), str(r)
    assert r.out.count("usage") == 1, "said more than once"
    good("-h", ranks=ranks)
    for c in COMMANDS if ranks == 1 else ("train",):
        r = good(c, "--help", ranks=ranks)
        assert not r.err.strip() and f"mige {c}" in r.out and "--seed" in r.out and "--dry-run" in r.out, str(r)
    r = good("train", "--batch", "no", "--help", ranks=ranks)
    assert "--batch" in r.out and "default 128" in r.out and "--learning-rate" in r.out, str(r)


def config_text(ranks):
    """What --dump-config prints, read back, is printed again; and so with changed values."""
    changed = {"train": ["--learning-rate", 0.1234567890123456, "--data", "a b=c;d.h5"], "score": ["--eigen", 7]}
    for c, more in changed.items():
        first = good(c, *more, "--dump-config", ranks=ranks).out
        with open(path("dumped.ini"), "w") as f:
            f.write(first)
        again = good(c, "--config", path("dumped.ini"), "--dump-config", ranks=ranks).out
        assert again == first and "dump-config = no\n" in first, f"{first} became {again}"
        values = dict(line.split(" = ", 1) for line in first.splitlines() if " = " in line)
        assert all(values[k[2:]] == v if isinstance(v, str) else float(values[k[2:]]) == v
                   for k, v in zip(more[::2], more[1::2])), first


def lines_of_ini_files(ranks):
    """Whatever finds a value wrong, its line is told."""
    values = ("objective = mig", "encoder = mpl", "augment = foo", "checkpoint-every = x", "width = abc", "check = foo", "solver = cg",
              "task = ib\nobjective = dvb\nsigma-range = 3"), ("methods = foo", "rho = 3", "samples = 1", "dims = x")
    for of, command in zip(values, (("train", "--data", DATA, "--out", path("none")), ("toy", "--output", path("none.h5")))):
        for text in of:
            with open(path("wrong.ini"), "w") as f:
                f.write(f"; a comment\n[{command[0]}]\n{text}\n")
            key = text.splitlines()[-1].split()[0]
            fails(2, rf"wrong\.ini:{2 + len(text.splitlines())}: (--)?{key}", *command, "--config", path("wrong.ini"), ranks=ranks)
            other = {"objective": "dvb", "task": "ib"}.get(key, "9x")
            fails(2, f"^mige: (--)?{key}", *command, "--config", path("wrong.ini"), f"--{key}", other, ranks=ranks)


def info(ranks):
    r = good("info", ranks=ranks)
    assert "BLAS" in r.out and "kernels" in r.out and f"{ranks} x 1 threads" in r.out, str(r)
    assert "mige" in r.out and "MPI" in r.out and "HDF5" in r.out and "hosts" in r.out, str(r)


# ---- usage


def usage(ranks):
    fails(2, "command", ranks=ranks)
    fails(2, "trian.*train", "trian", ranks=ranks)
    fails(2, "--bach.*batch", "train", "--bach", 64, ranks=ranks)
    fails(2, "--batch.*range", "train", "--batch", 1, ranks=ranks)
    fails(2, "--batch.*number", "train", "--batch", "many", ranks=ranks)
    fails(2, "--layers.*not an option of train", "train", "--layers", "conv", ranks=ranks)
    fails(2, "--data.*missing", "train", "--data", ranks=ranks)
    fails(2, "--data.*given", "train", "--out", path("x"), ranks=ranks)
    fails(2, "--out.*given", "train", "--data", DATA, ranks=ranks)
    for option, value in ("--width", "abc"), ("--check", "foo"), ("--eigen", 151):
        fails(2, f"{option}.*{value}", *score(path("x.h5")), option, value, ranks=ranks)
    fails(2, "solvers.*ssge.*filter", *score(path("x.h5"), "--solver", "cg"), ranks=ranks)
    fails(2, "solvers.*stein.*cholesky", *score(path("x.h5"), "--solver", "filter", "--estimator", "stein"), ranks=ranks)
    fails(2, "--precondition.*whiten", *score(path("x.h5"), "--precondition", "ica"), ranks=ranks)
    fails(2, "150 samples need.*at most.*would fit", *score(path("x.h5"), "--memory", 3e-4), ranks=ranks)
    contradictions(ranks)
    if ranks > 1:
        return  # the rest is found in the same way
    fails(2, "--solver.*lapack", "score", "--solver", "qr", ranks=ranks)
    fails(2, "--layers.*fd", "probe", "--run", RUN, "--layers", "conv,fd", ranks=ranks)
    fails(2, "--format.*mnist", "convert", "--format", "jpeg", ranks=ranks)
    fails(2, "verify", "verify", ranks=ranks)


def contradictions(ranks):
    """Options that the objective has no use for, or that cannot be together; what would help where memory is short."""
    ib = "--task", "ib", "--objective"
    for message, *options in (("jsd.*is one of task infomax", *ib, "jsd"),
                              ("prior-matching.*ce has none", *ib, "ce", "--prior-matching", 1),
                              ("scale-penalty.*jsd has none", "--objective", "jsd", "--scale-penalty", 1),
                              ("sigma-range.*not drawn", *ib, "ce", "--sigma-range", "0.1:1"),
                              ("sigma-range.*implicit", *ib, "mige", "--implicit", "--draws", 3, "--sigma-range",
                               "0.1:1"),
                              ("implicit.*not drawn", "--implicit"), ("draws.*not drawn", "--draws", 2),
                              ("sigma-range.*LO < HI", *ib, "dvb", "--sigma-range", "1:0.1"),
                              ("samples are not mapped", *ib, "mige", "--precondition", "whiten"),
                              ("eigen: 4.*3 draws", *ib, "mige", "--draws", 3, "--conditional", "ssge", "--estimator", "ssge", "--eigen", 4),
                              ("no convolutional features", "--encoder", "mlp", "--circumstance", "II"),
                              (r"at most \d+ would fit, or --estimator", "--batch", 600, "--memory", 0.25 * ranks),
                              (r"at most \d+ would fit, or a larger", "--batch", 600, "--memory", 0.1,
                               "--objective", "infonce", "--encoder", "mlp:16", "--circumstance", "views", "--code", 4096)):
        fails(2, message, "train", "--data", DATA, "--dry-run", *options, ranks=ranks)


def ini_file(ranks):
    with open(path("bad.ini"), "w") as f:
        f.write("[train]\nbatch = 16\n\ncuont = 3\n")
    fails(2, r"bad\.ini:4: cuont", "train", "--config", path("bad.ini"), ranks=ranks)
    with open(path("bad.ini"), "w") as f:
        f.write("seed = 1\nbatch = 1\n")
    fails(2, r"bad\.ini:2: batch.*range", "train", "--config", path("bad.ini"), ranks=ranks)
    fails(3, r"none\.ini", "train", "--config", path("none.ini"), ranks=ranks)


def ini_by_rank(ranks):
    """A configuration whose name is that of another file for one of the ranks."""
    script, output = path(f"by-rank-{ranks}.sh"), path(f"by-rank-{ranks}.h5")
    for folder, text in ("first", "width-scale = 1\n"), ("others", "width-scale = 2\n"):
        os.makedirs(path(folder), exist_ok=True)
        with open(path(folder, "rank.ini"), "w") as f:
            f.write(text)
    with open(script, "w") as f:
        f.write('cd "$1"; shift; case "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}" in 1) cd ../others;; esac; exec "$@"\n')
    launch = ([*MPIRUN, "-np", str(ranks)] if ranks > 1 else []) + ["sh", script]
    for folder, status in ("others", 0), ("first", 2 if ranks > 1 else 0):
        r = Program(*score(output, "--config", "rank.ini"), before=(*launch, path(folder))).result()
        assert r.status == status and len(r.messages) == (status > 0), str(r)
    assert ranks == 1 or "--config: ranks read different files" in r.messages[0], str(r)


def sizes(ranks):
    fails(2, "batch.*640", *train(path("x"), "--batch", 641), ranks=ranks)
    fails(2, "eigen.*batch", *train(path("x"), "--eigen", 17), ranks=ranks)
    if ranks > 2:
        fails(2, f"batch.*{ranks} ranks", *train(path("x"), "--batch", 2), ranks=ranks)
    assert not os.path.exists(path("x"))


# ---- input


def bad_data(ranks):
    fails(3, r"none\.h5", *train(path("x"), data=path("none.h5")), ranks=ranks)
    with open(path("text.h5"), "w") as f:
        f.write("no HDF5 at all\n" * 100)
    fails(3, r"text\.h5.*HDF5", *train(path("x"), data=path("text.h5")), ranks=ranks)
    with open(DATA, "rb") as f:
        whole = f.read()
    for size in 0, 7, 100, 5000, len(whole) // 2, len(whole) - 1:
        with open(path("cut.h5"), "wb") as f:
            f.write(whole[:size])
        fails(3, r"cut\.h5", *train(path("x"), data=path("cut.h5")), ranks=ranks)
        if ranks > 1 and size > 7:
            break
    fails(3, r"samples\.h5.*mige", *train(path("x"), data=path("samples.h5")), ranks=ranks)
    fails(3, "mige-checkpoint", *train(path("x"), data=os.path.join(RUN, "checkpoint-1.h5")), ranks=ranks)
    assert not os.path.exists(path("x"))


def bad_labels(ranks):
    images, labels = pictures(40, 1)
    write_data(path("labels.h5"), images, labels)
    good(*train(path("x"), "--dry-run", data=path("labels.h5")), ranks=ranks)
    labels[23] = CLASSES
    write_data(path("labels.h5"), images, labels)
    fails(3, r"labels\.h5.*23.*10", *train(path("x"), data=path("labels.h5")), ranks=ranks)
    assert not os.path.exists(path("x"))


def bad_samples(ranks):
    def bad(status, part, *more):
        fails(status, part, *score(path("x.h5"), *more), ranks=ranks)

    bad(3, r"/none", "--dataset", "/none")
    bad(3, r"/cube.*\[M,D\]", "--dataset", "/cube")
    bad(3, "row 17 ", "--dataset", "/nan")
    bad(4, "distance", "--dataset", "/same")
    bad(3, "row 17 ", "--points", path("samples.h5"), "--points-dataset", "/nan")
    bad(3, "dimensions", "--points", path("samples.h5"), "--points-dataset", "/crooked")
    bad(3, r"none\.h5", "--points", path("none.h5"))
    assert not os.path.exists(path("x.h5"))


def bad_run(ranks):
    fails(3, "none", "probe", "--run", path("none"), ranks=ranks)
    folder = copy_of_run("unfinished", ranks)
    for step in 1, 2:
        os.remove(os.path.join(folder, f"checkpoint-{step}.h5"))
    fails(3, "no checkpoint", "probe", "--run", folder, ranks=ranks)
    fails(3, "no checkpoint", "encode", "--run", folder, "--output", path("x.h5"), ranks=ranks)
    assert not os.path.exists(path("x.h5"))


def bad_archive(ranks):
    fails(3, "nowhere", "convert", "--from", path("nowhere"), "--output", path("x.h5"), ranks=ranks)
    folder = fresh("cifar-bad", ranks)
    shutil.copytree(path("cifar"), folder)
    images, labels = pictures(20, 1)
    labels[3] = CLASSES
    write_records(os.path.join(folder, "data_batch_2.bin"), images, labels)
    fails(3, r"data_batch_2\.bin.*10", "convert", "--from", folder, "--output", path("x.h5"), ranks=ranks)
    assert not os.path.exists(path("x.h5"))


def verify(ranks):
    checkpoint = os.path.join(RUN, "checkpoint-2.h5")
    r = good("verify", DATA, checkpoint, os.path.join(RUN, "metrics.h5"), ranks=ranks)
    assert r.out.count(": good") == 3 and r.err.strip() == "", str(r)
    good("verify", "--threads", 1, DATA, ranks=ranks)
    good("verify", DATA, "--seed", 1, ranks=ranks)
    with open(DATA, "rb") as f:
        bytes_ = bytearray(f.read())
    bytes_[len(bytes_) // 2] ^= 1
    with open(path("flipped.h5"), "wb") as f:
        f.write(bytes_)
    fails(3, r"flipped\.h5", "verify", path("flipped.h5"), ranks=ranks)
    fails(3, "1 of 2", "verify", DATA, path("flipped.h5"), ranks=ranks)
    fails(3, r"none\.h5", "verify", path("none.h5"), ranks=ranks)


# ---- output


def not_writable(ranks):
    with open(path("file"), "w") as f:
        f.write("in the way")
    for folder in path("file", "below"), "/proc/here":
        fails(5, folder, *train(folder, "--steps", 1), ranks=ranks)
        fails(5, folder, *score(os.path.join(folder, "s.h5")), ranks=ranks)
    fails(5, "missing", *score(path("missing", "s.h5")), ranks=ranks)
    fails(5, "missing", "encode", "--run", RUN, "--layers", "y", "--output", path("missing", "g.h5"), ranks=ranks)
    fails(5, "missing", "convert", "--from", path("cifar"), "--output", path("missing", "d.h5"), ranks=ranks)
    fails(5, "folder", *score(path("cifar")), ranks=ranks)
    for more in (), ("--dry-run",):
        fails(5, r"too long \(.part is added.*250 bytes", *score(path(248 * "n" + ".h5")), *more, ranks=ranks)
    good(*score(path(247 * "n" + ".h5"), "--quiet"), ranks=ranks)


def read_only(ranks):
    folder = path("read-only")
    mount(folder, "ro,size=1m")
    try:
        fails(5, "read-only", *train(folder, "--steps", 1), ranks=ranks)
        fails(5, "read-only", *train(os.path.join(folder, "run"), "--steps", 1), ranks=ranks)
        fails(5, "read-only", *score(os.path.join(folder, "s.h5")), ranks=ranks)
    finally:
        unmount(folder)


def linked(path_, **sets):
    """A file whose data sets are links to those of others."""
    with h5py.File(path_, "w") as f:
        f.attrs["format"], f.attrs["format_version"], f.attrs["complete"] = "mige-data", 1, 1
        for name, (file, to) in sets.items():
            f[name.replace("_", "/")] = h5py.ExternalLink(file, to)
    return path_


def read_by_links(ranks):
    """An output that is read by way of links out of the file that is named, and of links to links."""
    real, between, features = path(f"real-{ranks}.h5"), path(f"between-{ranks}.h5"), path(f"features-{ranks}.h5")
    sets = [f"{split}_{kind}" for split in ("train", "test") for kind in ("images", "labels")]
    shutil.copy(DATA, real)
    linked(between, **{s: (real, s.replace("_", "/")) for s in sets})
    link = linked(path(f"link-{ranks}.h5"), **{s: (os.path.basename(between), s.replace("_", "/")) for s in sets})
    good("encode", "--run", RUN, "--layers", "y", "--output", features, "--quiet", ranks=ranks)
    link_to_features = linked(path(f"flink-{ranks}.h5"), train=(features, "train"), test=(features, "test"))
    kept = {f: open(f, "rb").read() for f in (real, between, features)}
    for output in real, between:
        for command in "encode", "probe":
            fails(2, "--output.*also read", command, "--run", RUN, "--data", link, "--output", output, ranks=ranks)
    fails(2, "--output.*also read", "probe", "--input", link_to_features, "--layers", "y", "--output", features, ranks=ranks)
    table = path(f"table-{ranks}.h5")
    with h5py.File(table, "w") as f:
        f["x"], f["y"] = np.random.default_rng(1).normal(size=(2, 60, 1))
    kept[table] = open(table, "rb").read()
    link = linked(path(f"tlink-{ranks}.h5"), x=(table, "x"), y=(table, "y"))
    for command in ("mi", "--shuffles", 0), ("score", "--dataset", "/x"):
        for more in (), ("--dry-run",):
            fails(2, "--output.*also read", *command, "--input", link, "--output", table, *more, ranks=ranks)
    assert all(open(f, "rb").read() == text for f, text in kept.items()), "something was written"


def part_of_others(ranks):
    """A user's own file beside the output is not taken for what a killed writer has left."""
    output = path(f"beside-{ranks}.h5")
    shutil.copy(path("samples.h5"), f"{output}.part")
    fails(5, "another program's file", *score(output), ranks=ranks)
    assert open(path("samples.h5"), "rb").read() == open(f"{output}.part", "rb").read()
    with open(DATA, "rb") as f:
        whole = f.read()
    for size in len(whole), len(whole) // 2, 5000, 8:
        with open(f"{output}.part", "wb") as f:
            f.write(whole[:size])
        good(*score(output, "--quiet"), ranks=ranks)
        assert not os.path.exists(f"{output}.part")


def disk_full(ranks):
    """The checkpoint that still fitted is kept, and is good."""
    folder = path("full")
    mount(folder, "size=90m")
    try:
        run = os.path.join(folder, "run")
        fails(5, r"checkpoint-2\.h5.*[Nn]o space", *train(run, "--steps", 3, "--checkpoint-every", 1), ranks=ranks)
        assert sorted(f for f in os.listdir(run) if f.startswith("checkpoint")) == ["checkpoint-1.h5"], os.listdir(run)
        good("verify", os.path.join(run, "checkpoint-1.h5"), os.path.join(run, "metrics.h5"))
        with open(os.path.join(folder, "rest"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        fails(5, r"s\.h5.*[Nn]o space", *score(os.path.join(folder, "s.h5")), ranks=ranks)
        fails(5, "config.ini", *train(os.path.join(folder, "other"), "--steps", 1), ranks=ranks)
        assert not [f for f in os.listdir(folder) if f.startswith("s.h5")]
    finally:
        unmount(folder)


def file_too_large():
    """A limit of file sizes (ulimit -f); MPI's own files are larger where there are other ranks."""
    for size, name, *command in (1000, "large.h5", *score(path("large.h5"))), (500, "config.ini", *train(path("large"), "--steps", 1)):
        r = Program(*command, before=("prlimit", f"--fsize={size}", "--core=0")).result()
        assert r.status == 5 and len(r.messages) == 1 and name in r.messages[0], str(r)
    assert not os.path.exists(path("large.h5.part")) and not os.path.exists(path("large", "config.ini.part"))


def dry_run(ranks):
    before = set(os.listdir(path()))
    r = good("train", "--data", DATA, "--out", path("dry"), "--dry-run", ranks=ranks)
    assert "MB a rank" in r.out and "640 images" in r.out, str(r)
    good("train", "--data", DATA, "--dry-run", ranks=ranks)
    good(*score(path("dry.h5")), "--dry-run", ranks=ranks)
    good("convert", "--from", path("cifar"), "--output", path("dry.h5"), "--dry-run", ranks=ranks)
    good("encode", "--run", RUN, "--output", path("dry.h5"), "--dry-run", ranks=ranks)
    kept = contents(RUN)
    good("probe", "--run", RUN, "--dry-run", ranks=ranks)
    assert set(os.listdir(path())) == before and contents(RUN) == kept, "something was written"
    fails(3, r"none\.h5", "train", "--data", path("none.h5"), "--dry-run", ranks=ranks)
    fails(5, "cannot be written", *score(path("nowhere", "s.h5")), "--dry-run", ranks=ranks)
    os.makedirs(path("foreign"), exist_ok=True)
    with open(path("foreign", "config.ini"), "w") as f:
        f.write("mine\n")
    os.makedirs(path("fifos"), exist_ok=True)
    for fifo in path("fifo.h5.part"), path("fifos", "config.ini"):
        if not os.path.exists(fifo):
            os.mkfifo(fifo)
    for status, why, command in ((5, "is not a folder", train(path("samples.h5"))), (2, "is no file of a run", train(path("foreign"))),
                                 (5, "is not a folder|Not a directory", train(path("samples.h5", "run"))), (5, "regular file", train(path("fifos"))),
                                 (5, "its .part is there", score(path("fifo.h5")))):
        for more in ((), ("--dry-run",)) if ranks == 1 else (("--dry-run",),):
            fails(status, why, *command, *more, ranks=ranks)
    kept = contents(RUN)
    resume = "train", "--config", os.path.join(RUN, "config.ini"), "--out", RUN, "--resume", "--dry-run"
    good(*resume, ranks=ranks)
    fails(3, "code", *resume, "--code", 7, ranks=ranks)
    assert contents(RUN) == kept, "something was written"
    fails(2, "--neighbours", "probe", "--run", RUN, "--neighbours", 641, "--dry-run", ranks=ranks)


def quiet(ranks):
    r = good(*train(fresh("quiet", ranks), "--steps", 2), ranks=ranks)
    assert not r.out.strip() and not r.err.strip(), str(r)
    loud = fresh("loud", ranks)
    r = good("train", "--data", DATA, "--out", loud, "--batch", 16, "--steps", 3, "--log-view", ranks=ranks)
    assert "GFLOP/s" in r.out and "forward" in r.out and r.out.count("train: done") == 1 and not r.err.strip(), str(r)
    r = good("probe", "--run", RUN, "--layers", "y", "--probe-epochs", 1, "--output", path("phases.h5"), "--log-view", ranks=ranks)
    assert all(re.search(rf"^ *{phase} +[1-9]", r.out, re.M) for phase in ("step", "forward", "backward", "update")), str(r)


# ---- scores


def compare_scores(ranks, dataset, points, options, estimate, most, solver):
    output = path(f"scores-{ranks}.h5")
    more = ("--points", path("samples.h5")) if points else ()
    good(*score(output, "--dataset", dataset, "--quiet", "--solver", solver, *more, *options), ranks=ranks)
    with h5py.File(path("samples.h5")) as f:
        x = f[dataset][:].astype(float)
        q = f["points"][:] if points else x[:1]
    w, lam, s, sp = make_score.estimate(x, q, **estimate)
    with h5py.File(output) as f:
        assert np.linalg.norm(f["score"][:] - s) < most * np.linalg.norm(s), "scores"
        if points:
            assert np.linalg.norm(f["score_points"][:] - sp) < most * np.linalg.norm(sp), "scores at points"
        if len(lam):
            assert np.allclose(f["eigenvalues"][:], lam, rtol=0, atol=1e-11 * lam[0]), "eigenvalues"
            assert f.attrs["eigen"] == len(lam), "J"
        assert abs(f.attrs["width"] / w - 1) < 1e-12, "width"
        return dict(f.attrs), dict(f["score"].attrs)


def whitened_scores(ranks):
    """Scores of L (x - mean) times L are those of x."""
    output = path(f"whitened-{ranks}.h5")
    good(*score(output, "--dataset", "/crooked", "--precondition", "whiten", "--quiet"), ranks=ranks)
    with h5py.File(path("samples.h5")) as f, h5py.File(output) as g:
        x, found = f["crooked"][:].astype(float), g["score"][:]
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    L = vectors @ np.diag(values ** -0.5) @ vectors.T
    _, _, s, _ = make_score.estimate((x - x.mean(0)) @ L, x[:1])
    assert np.linalg.norm(found - s @ L) < 1e-8 * np.linalg.norm(found), "whitened scores"


def scores(ranks):
    x, crooked = ("/samples", True), ("/crooked", False)
    for solver, most in ("auto", 1e-8), ("lapack", 1e-8), ("scalapack", 1e-8), ("filter", 1e-8), ("subspace", 1e-6):
        compare_scores(ranks, *x, ("--threshold", 0.985), {"threshold": 0.985}, most, solver)
        compare_scores(ranks, *crooked, ("--eigen", 12), {"eigen": 12}, most, solver)
    compare_scores(ranks, *x, ("--width", 2, "--threshold", 0.9), {"width": 2, "threshold": 0.9}, 1e-8, "auto")
    compare_scores(ranks, *x, ("--width-scale", 1.5), {"scale": 1.5}, 1e-8, "auto")
    tikhonov = ("--estimator", "stein", "--eta", 0.1, "--iterations", 2, "--calibrate", "stein")
    for solver, more in ("auto", ()), ("cholesky", ()), ("cg", ("--tolerance", 1e-11)):
        compare_scores(ranks, *x, tikhonov + more, {"eta": 0.1, "iterations": 2, "calibrate": "stein"}, 1e-8, solver)
    whitened_scores(ranks)
    checked = ("--check", "eigen", "--seed", 5)
    root, of_score = compare_scores(ranks, "/samples", False, checked, {}, 1e-8, "lapack")
    for name in ("format", "format_version", "software", "git_revision", "command_line", "config", "created", "ranks",
                 "threads", "hosts", "seed", "complete", "threshold", "solver"):
        assert name in root, f"no attribute {name}"
    text = {k: v.decode() if isinstance(v, bytes) else v for k, v in root.items()}
    assert text["format"] == "mige-score" and text["ranks"] == ranks and text["seed"] == 5 and text["complete"] == 1
    assert text["solver"] == "lapack" and "--check eigen" in text["command_line"]
    assert "threshold = 0.99" in text["config"]
    assert "units" in of_score and "long_name" in of_score


def main():
    cases = Cases()
    cases.run("prepare", prepare)
    for case in (version, help_text, config_text, lines_of_ini_files, info, usage, ini_file, ini_by_rank, sizes, bad_data, bad_labels, bad_samples,
                 bad_run, bad_archive, verify, not_writable, read_only, read_by_links, part_of_others, disk_full, dry_run, quiet, scores):
        for ranks in 1, 3:
            cases.run(f"{case.__name__.replace('_', ' ')} np {ranks}", case, ranks)
    cases.run("file too large", file_too_large)
    cases.end()


if __name__ == "__main__":
    main()
