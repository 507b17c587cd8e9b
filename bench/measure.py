"""What bench/run measures with: starts mige, its C benchmarks and the rival, and reads what they print."""
import ctypes
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("B", "build")
MPIRUN = shlex.split(os.environ.get("MPIRUN", "mpirun"))
MIGE = os.environ.get("MIGE", f"{BUILD}/mige")
SAMPLE = "data/cifar10-sample.h5"


def can_copy():
    """Whether a process may read another's memory, as MPI does for long messages; containers may refuse."""
    class Piece(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
    call = getattr(ctypes.CDLL(None), "process_vm_readv", None)
    there, here = ctypes.c_int64(1), ctypes.c_int64(0)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        return call is not None and 8 == call(child, ctypes.byref(Piece(ctypes.addressof(here), 8)), ctypes.c_ulong(1),
                                              ctypes.byref(Piece(ctypes.addressof(there), 8)), ctypes.c_ulong(1), ctypes.c_ulong(0))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def forget_tests():
    """What scripts/mpi-env sets for more ranks than cores, and for containers, is not how the program is run."""
    for name in ("mpi_yield_when_idle", "hwloc_base_binding_policy") + (("btl_vader_single_copy_mechanism",) if can_copy() else ()):
        os.environ.pop(f"OMPI_MCA_{name}", None)


def text_of(command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"bench: {' '.join(command)}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


@functools.cache
def find_python(modules):
    """The first Python that has them, or None."""
    for python in (os.environ.get("RIVAL_PYTHON"), "build/torch/bin/python", "python3"):
        command = [python, "-c", f"import {modules}"]
        if python and shutil.which(python) and not subprocess.run(command, capture_output=True).returncode:
            return python
    return None


def rival(script, *arguments, modules="torch"):
    """What the rival prints, as words, on two threads; libraries choose their kernels themselves. Nothing where it is not installed, or
    fails, which is said."""
    python = find_python(modules)
    if not python:
        return []
    env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
    done = subprocess.run([python, f"bench/{script}", "--threads", "2", *arguments], capture_output=True, text=True, env=env)
    if done.returncode:
        print(f"PyTorch: bench/{script}: {(done.stderr.strip() or 'no word').splitlines()[-1][:160]}")
    return [] if done.returncode else [line.split() for line in done.stdout.splitlines()]


def rival_times(*arguments, modules="torch"):
    """Name -> seconds, as rival.py writes them."""
    return {words[0]: words[1] for words in rival("rival.py", *arguments, modules=modules) if len(words) == 2}


def ranks(count, command):
    return text_of(MPIRUN + ["-np", str(count)] + command)


def score(count, *arguments):
    """A line of bench/score.c -> its figures."""
    words = ranks(count, [f"{BUILD}/bench/score"] + [str(a) for a in arguments]).split()
    figures = dict(zip(words[2::2], map(float, words[3::2])))
    figures["seconds"] = float(words[1])
    return figures


@functools.cache
def limits(count):
    """Name -> GFLOP/s or GB/s of all ranks together."""
    return {name: float(rate) for name, rate in map(str.split, ranks(count, [f"{BUILD}/bench/limits"]).splitlines())}


def training(count, steps, *options):
    """Phase -> seconds a step on the slowest rank, and GFLOP/s of all ranks (0: not counted)."""
    with tempfile.TemporaryDirectory() as folder:
        mine = {"--data": SAMPLE, "--out": f"{folder}/run", "--steps": str(steps), "--progress": "none", "--checkpoint-every": "0"}
        mine.update(zip(options[::2], options[1::2]))
        out = ranks(count, [MIGE, "train", "--log-view", *(word for option in mine.items() for word in option)])
    rows = (line.split() for line in out.splitlines() if re.match(r" *[a-z-]+ +\d+ +[\d.]+ +[\d.]+ +[\d.]+", line))
    return {row[0]: (float(row[4]) / steps, float(row[5]) if len(row) > 5 else 0) for row in rows}


@functools.cache
def has_bfloat16():
    """Whether the processor multiplies it: without, it is slow for anyone, and not measured."""
    return not re.search("^bfloat16 +none", text_of([MIGE, "info"]), re.M)


@functools.cache
def precisions():
    """Those that mige has: of those that its help names, without auto."""
    found = re.search(r"--precision ([a-z0-9|]+)", text_of([MIGE, "train", "--help"]))
    return [name for name in found[1].split("|") if name != "auto" and (name != "bfloat16" or has_bfloat16())] if found else [None]


def digits(folder):
    """A data file of images of MNIST's shape, random."""
    for part, count in (("train", 6000), ("t10k", 1000)):
        for kind, shape, top in (("images-idx3", (count, 28, 28), 256), ("labels-idx1", (count,), 10)):
            size = count * (784 if len(shape) > 1 else 1)
            with open(f"{folder}/{part}-{kind}-ubyte", "wb") as file:
                file.write(bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape))
                file.write(bytes(b % top for b in os.urandom(size)))
    text_of([MIGE, "convert", "--format", "mnist", "--from", folder, "--output", f"{folder}/digits.h5"])
    return f"{folder}/digits.h5"
