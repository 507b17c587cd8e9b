#!/usr/bin/env python3
"""What `make install` puts in place serves other programs, the examples, with the headers and the library alone; and the measurements
begin where there is no PyTorch."""
import os
import re
import shlex
import shutil
import subprocess
import sys

import h5py
import numpy as np
from program import MPIRUN, Cases, Skip, good, path

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BUILD, MPICC = os.environ.get("B", os.path.join(ROOT, "build")), os.environ.get("MPICC", "mpicc")


def text_of(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}: {done.returncode}: {(done.stdout + done.stderr)[-600:]}"
    return done.stdout


def package(field):
    with open(path("usr/lib/pkgconfig/mige.pc")) as f:
        return next(shlex.split(line.split(":", 1)[1]) for line in f if line.startswith(field + ":"))


def installed():
    # make's own CPPFLAGS, given once more, would have it compile all anew, under the tests that run beside this one
    text_of(["env", "-u", "CPPFLAGS", "make", "-C", ROOT, "install", f"PREFIX={path('usr')}", f"B={BUILD}", f"MPICC={MPICC}"])
    assert text_of([path("usr/bin/mige"), "--version"]) == f"mige {package('Version')[0]}\n"


def build(name, compiler=(MPICC, "-std=c11"), more=()):
    """An example, by the installed headers and library alone."""
    source = name if os.path.exists(name) else path("usr/share/mige/examples", f"{name}.c")
    program = path(os.path.basename(name).split(".")[0])
    text_of([*compiler, "-Wall", "-Wextra", "-Werror", *package("Cflags"), source, "-o", program, *package("Libs"), *more])
    return program


def example_score():
    """The same as `mige score` gives."""
    X = np.random.default_rng(1).normal(size=(300, 3))
    X.tofile(path("x.bin"))
    with h5py.File(path("x.h5"), "w") as f:
        f["samples"] = X
    program = build("score")
    good("score", "--input", "x.h5", "--output", "s.h5", "--estimator", "stein", "--quiet", ranks=3)
    with h5py.File(path("s.h5")) as f:
        expected = f["score"][()]
    for ranks in 1, 3:
        found = np.array(text_of(MPIRUN + ["-np", str(ranks), program, path("x.bin"), "300", "3"]).split(), float).reshape(300, 3)
        assert np.allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max()), ranks
    done = subprocess.run(MPIRUN + ["-np", "3", program, path("none.bin"), "300", "3"], capture_output=True, text=True, timeout=60)
    assert done.returncode and "none.bin: cannot be read" in done.stderr, done.stderr


def example_gradient():
    program = build("gradient")
    slopes = [float(re.match(r"dI/dr (\S+), the truth 3.75", text_of(MPIRUN + ["-np", str(n), program]))[1]) for n in (1, 3)]
    assert abs(slopes[0] / 3.75 - 1) < 0.1 and abs(slopes[0] - slopes[1]) < 2e-6, slopes


def example_value():
    program = build("value")
    found = [re.match(r"I (\S+) \+- (\S+) nats, the truth 0.446287", text_of(MPIRUN + ["-np", str(n), program])) for n in (1, 3)]
    (value, error), (other, _) = [map(float, m.groups()) for m in found]
    assert 0 < error < 0.1 and abs(value - 0.446287) < 3 * error and abs(value - other) < 2e-6, (value, error, other)


def cplusplus():
    """mige.h links from C++, and each header is complete by itself, in C."""
    if not shutil.which("c++"):
        raise Skip("no C++ compiler here")
    flags = shlex.split(text_of([MPICC, "-show"]))[1:]
    with open(path("cpp.cc"), "w") as f:
        f.write('#include <mige.h>\nint main() { mige_score_options o = mige_score_defaults(); return mige_score_check(10, 2, &o) || *mige_error(); }\n')
    text_of([build(path("cpp.cc"), ["c++", "-DOMPI_SKIP_MPICXX", "-DMPICH_SKIP_MPICXX"], [w.replace("-I", "-isystem") for w in flags])])
    for header in sorted(os.listdir(path("usr/include/mige"))):
        with open(path("header.c"), "w") as f:
            f.write(f"#include <mige/{header}>\n#include <mige.h>\n")
        text_of([MPICC, "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *package("Cflags"), path("header.c"),
                 "-Wno-unused-command-line-argument"])  # mpicc's libraries; clang


def manual():
    """The man page and the completion have every option that the program tells of."""
    with open(path("usr/share/man/man1/mige.1")) as f:
        page = f.read().replace("\\-", "-")
    with open(path("usr/share/bash-completion/completions/mige")) as f:
        completion = f.read()
    for command in "train", "score", "watch":
        told = re.findall(r"^  (--\S+)", good(command, "--help").out, re.M)
        offered = re.search(rf"^    {command}\) options=\"(.*)\" ;;", completion, re.M)[1].split()
        assert len(told) > 8 and offered == [*told, "--help"] and not [o for o in told if f"\n\\fB{o}\\fR " not in page], command
    assert "\\fB--precision\\fR auto|float|bfloat16\nof the networks'" in page
    ask = 'source $1; COMP_WORDS=(mige train "$2" "$3"); COMP_CWORD=3; _mige; echo "${COMPREPLY[*]}"'
    for words, answer in (("--task", ""), "infomax ib"), (("--seed", "--tas"), "--task"), (("--data", "x"), ""):
        said = text_of(["bash", "-c", ask, "bash", path("usr/share/bash-completion/completions/mige"), *words])
        assert said.strip() == answer, (words, said)


def names():
    """No global name of the library lacks its prefix, and what the headers name is there."""
    lines = text_of(["nm", "-g", "--defined-only", path("usr/lib/libmige.a")]).split("\n")
    found = [line.split()[2] for line in lines if len(line.split()) == 3]
    assert "mige_score_samples" in found and "mige_checkpoint_newest" in found
    assert not [name for name in found if not name.startswith("mige_")], found


def bench_alone():
    """A path that is not there is no rival, and no reason to fail."""
    sys.path.insert(0, os.path.join(ROOT, "bench"))
    import measure
    os.environ["RIVAL_PYTHON"] = path("no", "python")
    here = os.getcwd()
    os.chdir(path())
    try:
        assert measure.find_python("torch") in (None, "python3") and measure.find_python("no_such_module") is None
    finally:
        os.chdir(here)


def main():
    cases = Cases()
    cases.run("installed", installed)
    cases.run("example of scores", example_score)
    cases.run("example of a gradient", example_gradient)
    cases.run("example of a value", example_value)
    cases.run("C++ and single headers", cplusplus)
    cases.run("man page and completion", manual)
    cases.run("names", names)
    cases.run("bench without PyTorch", bench_alone)
    cases.end()


if __name__ == "__main__":
    main()
