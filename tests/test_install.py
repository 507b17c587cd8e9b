#!/usr/bin/env python3
"""What `make install` puts in place serves another program, with the headers and the library alone; and the measurements begin
where there is no PyTorch."""
import importlib.machinery
import importlib.util
import os
import shlex
import subprocess

from program import MPIRUN, Cases, path

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BUILD, MPICC = os.environ.get("B", os.path.join(ROOT, "build")), os.environ.get("MPICC", "mpicc")

# Of standard normal samples the score is -x: least squares slope of the estimates on it.
SOURCE = r"""
#include <mige/comm.h>
#include <mige/rng.h>
#include <mige/score.h>
#include <stdio.h>
enum { M = 400, D = 2 };
int main(int argc, char **argv) {
    static double x[M * D], s[M * D];
    mige_comm c;
    mige_score *score;
    mige_score_options o = mige_score_defaults();
    double product = 0, square = 0;
    MPI_Init(&argc, &argv);
    mige_rng_normal(1, MIGE_RNG_SAMPLE, 0, 0, M * D, x);
    int err = mige_comm_create(MPI_COMM_WORLD, &c) || mige_score_create(&c, M, D, &o, &score) || mige_score_samples(score, x, s);
    for (int i = 0; i < M * D; i++) product -= x[i] * s[i], square += x[i] * x[i];
    if (!err && c.rank == 0) printf("slope %.3f\n", product / square);
    mige_score_destroy(&score);
    mige_comm_destroy(&c);
    MPI_Finalize();
    return err;
}
"""


def text_of(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}: {done.returncode}: {(done.stdout + done.stderr)[-600:]}"
    return done.stdout


def package(field):
    with open(path("usr/lib/pkgconfig/mige.pc")) as f:
        return next(shlex.split(line.split(":", 1)[1]) for line in f if line.startswith(field + ":"))


def installed():
    text_of(["make", "-C", ROOT, "install", f"PREFIX={path('usr')}", f"B={BUILD}", f"MPICC={MPICC}"])
    assert text_of([path("usr/bin/mige"), "--version"]) == f"mige {package('Version')[0]}\n"


def another_program():
    source, program = path("another.c"), path("another")
    with open(source, "w") as f:
        f.write(SOURCE)
    text_of([MPICC, "-std=c11", "-Wall", "-Wextra", "-Werror", *package("Cflags"), source, "-o", program, *package("Libs")])
    slopes = [float(text_of(MPIRUN + ["-np", str(n), program]).split()[1]) for n in (1, 2)]
    assert 0.8 < slopes[0] < 1.2 and abs(slopes[0] - slopes[1]) < 2e-3, slopes


def names():
    """No global name of the library lacks its prefix, and what the headers name is there."""
    lines = text_of(["nm", "-g", "--defined-only", path("usr/lib/libmige.a")]).split("\n")
    found = [line.split()[2] for line in lines if len(line.split()) == 3]
    assert "mige_score_samples" in found and "mige_checkpoint_newest" in found
    assert not [name for name in found if not name.startswith("mige_")], found


def bench_alone():
    """A path that is not there is no rival, and no reason to fail."""
    loader = importlib.machinery.SourceFileLoader("bench_run", os.path.join(ROOT, "bench", "run"))
    bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(bench)
    os.environ["RIVAL_PYTHON"] = path("no", "python")
    here = os.getcwd()
    os.chdir(path())
    try:
        assert bench.find_rival() in (None, "python3")
    finally:
        os.chdir(here)


def main():
    cases = Cases()
    cases.run("installed", installed)
    cases.run("another program", another_program)
    cases.run("names", names)
    cases.run("bench without PyTorch", bench_alone)
    cases.end()


if __name__ == "__main__":
    main()
