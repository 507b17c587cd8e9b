"""What tests/test_*.py share: running the program, a case a line of output, and a small set of images.

Environment: MIGE, the program; MPIRUN, the command with its flags; SCRATCH, a folder for files."""
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import h5py
import numpy as np

MIGE = os.environ.get("MIGE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "mige"))
MPIRUN = shlex.split(os.environ.get("MPIRUN", "mpirun"))
SCRATCH = os.environ.get("SCRATCH") or tempfile.mkdtemp(prefix="mige-test-")
CLASSES, SIDE = 10, 32
DATA = os.path.join(SCRATCH, "data.h5")
RUN = os.path.join(SCRATCH, "run")  # two steps, a checkpoint each; kept as it is
SHORT = ("--batch", 16, "--code", 4, "--projection", 4, "--precision", "float", "--quiet")
PATIENCE = float(os.environ.get("MIGE_PATIENCE", "1"))  # times the seconds that a command may take


class Skip(Exception):
    pass


class Result:
    def __init__(self, command, status, out, err):
        self.command, self.status, self.out, self.err = command, status, out, err
        lines = [line for line in err.splitlines() if line.startswith("mige: ")]
        self.warnings = [line for line in lines if line.startswith("mige: warning: ")]
        self.messages = [line for line in lines if line not in self.warnings]

    def __str__(self):
        tail = " | ".join((self.err or self.out).strip().splitlines()[-12:])
        return f"`{' '.join(self.command)}` gave {self.status}: {tail}"


def command(args, ranks):
    """One rank runs without mpirun."""
    return ([*MPIRUN, "-np", str(ranks)] if ranks > 1 else []) + [MIGE, *map(str, args)]


def runs_mige(pid):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", MIGE)
    except OSError:  # it is gone
        return False


class Program:
    """The program, running, in the folder SCRATCH; its output goes to files, so that nobody waits for a reader."""

    def __init__(self, *args, ranks=1, env=None, before=()):
        self.command, self.alone = [*before, *command(args, ranks)], ranks == 1
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, cwd=SCRATCH, stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.err, start_new_session=True, env={**os.environ, **(env or {})})

    def ranks(self):
        """Process numbers of the ranks: those of the program that come from mpirun, or the process (which may have a
        child of MPI's)."""
        return [self.process.pid] if self.alone else [pid for pid in self.descendants() if runs_mige(pid)]

    def descendants(self):
        """Open MPI's mpirun starts the ranks itself, MPICH's a process that does."""
        parents, found = {}, [self.process.pid]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    parents[int(pid)] = int(f.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
        for parent in found:
            found += [pid for pid in parents if parents[pid] == parent]
        return found[1:]

    def kill(self):
        """As the end of a job by force: all at once, nothing is told."""
        for pid in [self.process.pid, *self.descendants()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def result(self, seconds=60):
        seconds *= PATIENCE
        hangs = False
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            hangs = True
            self.kill()
        texts = []
        for f in (self.out, self.err):
            f.seek(0)
            texts.append(f.read().decode(errors="replace"))
        status = f"no end after {seconds} s" if hangs else self.process.returncode
        return Result(self.command, status, *texts)


def mige(*args, ranks=1, seconds=60, env=None):
    return Program(*args, ranks=ranks, env=env).result(seconds)


def good(*args, **how):
    """Ends with 0 and has nothing to complain of."""
    r = mige(*args, **how)
    assert r.status == 0 and not r.messages, str(r)
    return r


def fails(status, part, *args, **how):
    """Ends with this status and one line, which has `part` (a regular expression) in it."""
    r = mige(*args, **how)
    assert r.status == status, f"status {status} expected, {r}"
    assert len(r.messages) == 1, f"{len(r.messages)} messages, {r}"
    assert re.search(part, r.messages[0]), f"no /{part}/ in: {r.messages[0]}"
    return r


def path(*names):
    return os.path.join(SCRATCH, *names)


def same(a, b, most=1e-12):
    assert a.shape == b.shape and np.allclose(a, b, rtol=0, atol=most * np.abs(b).max()), (a.shape, b.shape)


class Cases:
    """Names on the command line, or their first words, choose the cases that run; what prepares for others does."""

    def __init__(self):
        self.failed = self.began = 0
        self.chosen = [a.replace("_", " ") for a in sys.argv[1:] if a != "-v"]

    def run(self, name, function, *args):
        wanted = not self.chosen or name in ("prepare", "file") or any(f"{name} ".startswith(f"{c} ") for c in self.chosen)
        if not wanted:
            return
        self.began += name not in ("prepare", "file")
        began = time.monotonic()
        try:
            function(*args)
            outcome = f"ok {name}"
        except Skip as e:
            outcome = f"skip {name}: {e}"
        except Exception as e:
            self.failed += 1
            where = traceback.extract_tb(sys.exc_info()[2])
            line = [f.lineno for f in where if os.path.basename(f.filename) != "program.py"][-1]
            why = " ".join(str(e).split()) or type(e).__name__
            outcome = f"not ok {name}: line {line}: {why}"
        print(outcome, flush=True)
        if "-v" in sys.argv:
            print(f"# {time.monotonic() - began:.1f} s")

    def end(self):
        if self.chosen and not self.began:
            print(f"not ok: no case begins with {' or '.join(self.chosen)}")
            sys.exit(1)
        sys.exit(self.failed > 0)


def pictures(n, seed):
    """Images with a pattern for each class in noise, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    images = np.empty((n, 3, SIDE, SIDE))
    for i, k in enumerate(labels):
        phase = rng.uniform(0, 1)
        wave = np.sin(2 * np.pi * ((1 + k % 5) * (x if k < 5 else y) + phase))
        images[i] = 128 + 60 * wave * np.array([1, (k % 3) / 2, (k % 4) / 3])[:, None, None]
    images += rng.normal(0, 25, images.shape)
    return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.uint8)


def write_cifar(folder, train=640, test=200):
    """Files in the official format of CIFAR-10."""
    os.makedirs(folder)
    images, labels = pictures(train, 1)
    for b in range(5):
        write_records(os.path.join(folder, f"data_batch_{b + 1}.bin"), images[b::5], labels[b::5])
    write_records(os.path.join(folder, "test_batch.bin"), *pictures(test, 2))


def write_records(name, images, labels):
    np.hstack([labels[:, None], images.reshape(len(images), -1)]).tofile(name)


def write_data(name, images, labels, classes=CLASSES):
    """A data file that another program has written."""
    with h5py.File(name, "w") as f:
        f.attrs["format"] = np.bytes_("mige-data")  # fixed length
        f.attrs["format_version"] = np.int64(1)
        f.attrs["complete"] = np.int64(1)
        for split in "train", "test":
            f[f"{split}/images"] = images
            f[f"{split}/labels"] = labels.astype(np.int32)
        f["class_names"] = np.array([f"class {i}".encode() for i in range(classes)])


def mount(folder, options):
    """A small file system of memory; where that is not allowed, the case is skipped."""
    os.makedirs(folder, exist_ok=True)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, text=True)
    if r.returncode:
        raise Skip(f"mount is not allowed here ({r.stderr.strip()})")


def unmount(folder):
    subprocess.run(["umount", "-l", folder], capture_output=True)


# ---- a small run


def train(out, *more, data=DATA):
    return ("train", "--data", data, "--out", out, *SHORT, *more)


def fresh(name, ranks):
    folder = path(f"{name}-{ranks}")
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def copy_of_run(name, ranks):
    folder = fresh(name, ranks)
    shutil.copytree(RUN, folder)
    return folder


def contents(folder):
    found = {}
    for root, _, files in os.walk(folder):
        for f in files:
            with open(os.path.join(root, f), "rb") as g:
                found[os.path.relpath(os.path.join(root, f), folder)] = g.read()
    return found


def prepare_run():
    write_cifar(path("cifar"))
    good("convert", "--format", "cifar10", "--from", path("cifar"), "--output", DATA)
    good(*train(RUN, "--steps", 2, "--checkpoint-every", 1))
