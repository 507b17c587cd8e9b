#!/usr/bin/env python3
"""What users have met elsewhere: outputs that are no files or are read, inputs of every kind, words that nobody reads. Never a
wrong number or a lost file without a word; messages that name the cause."""
import os
import pathlib
import shutil
import socket
import stat
import subprocess

import h5py
import numpy as np

from program import (DATA, MIGE, RUN, Cases, Skip, copy_of_run, fails, fresh, good, mige, path, pictures, prepare_run, same, train,
                     write_data)

RNG = np.random.default_rng(7)
SAMPLES = RNG.normal(size=(60, 3))
OUT = path("out.h5")


def put(name, **sets):
    with h5py.File(path(name), "w") as f:
        for key, values in sets.items():
            f[key] = values
    return path(name)


def prepare():
    prepare_run()
    put("x.h5", samples=SAMPLES)


def score(source=path("x.h5"), *more, output=OUT):
    return ("score", "--input", source, "--output", output, "--quiet", *more)


def scores(source, *more):
    good(*score(source, *more))
    with h5py.File(OUT) as f:
        return f["score"][:]


# ---- outputs


def writers():
    """Every command that writes a file, without its output."""
    return {"score": score()[:3], "toy": ("toy", "--dims", 2, "--methods", "mige", "--samples", 32, "--rho=0.3:0.6:2"),
            "scale": ("scale", "--samples", 32, "--dim", 2, "--rho=0.3:0.6:2"),
            "convert": ("convert", "--format", "cifar10", "--from", path("cifar")), "encode": ("encode", "--run", RUN, "--layers", "y")}


def no_files(ranks):
    folder = path(f"nodes-{ranks}")
    os.makedirs(folder)
    os.mkfifo(os.path.join(folder, "fifo"))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.join(folder, "socket"))
    os.symlink("fifo", os.path.join(folder, "to-fifo"))
    os.symlink("loop", os.path.join(folder, "loop"))
    os.symlink("half.h5", os.path.join(folder, "half.h5.part"))
    try:
        os.mknod(os.path.join(folder, "null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pass
    before = {n: os.lstat(os.path.join(folder, n)).st_mode for n in os.listdir(folder)}
    kinds = {n: "regular file" for n in before if n in ("fifo", "socket", "to-fifo", "null")}
    for name, words in writers().items():
        for kind, why in {**kinds, "loop": "levels of symbolic links", "half.h5": "part", "": "folder"}.items():
            if kind == "fifo" and (ranks == 1 or name == "score") or (name == "score" and ranks == 1):
                fails(5, why, *words, "--output", os.path.join(folder, kind), "--quiet", ranks=ranks)
    assert {n: os.lstat(os.path.join(folder, n)).st_mode for n in os.listdir(folder)} == before, os.listdir(folder)


def links():
    folder, far = path("links"), path("far")
    os.makedirs(folder), os.makedirs(far)
    with open(os.path.join(far, "old.h5"), "w") as f:
        f.write("old")
    for link, to in ("there", "../far/old.h5"), ("dangling", os.path.join(far, "new.h5")), ("first", "dangling"):
        os.symlink(to, os.path.join(folder, link))
    for link, target in ("there", "old.h5"), ("first", "new.h5"):
        good(*score(output=os.path.join(folder, link)))
        assert os.path.islink(os.path.join(folder, link)) and os.path.islink(os.path.join(folder, "dangling"))
        good("verify", os.path.join(far, target))
    assert sorted(os.listdir(far)) == ["new.h5", "old.h5"], os.listdir(far)


def no_folders():
    """The files of a run."""
    folder = path("odd-run")
    os.makedirs(folder)
    os.mkfifo(os.path.join(folder, "config.ini"))
    fails(5, "regular file", *train(folder, "--steps", 1))
    os.remove(os.path.join(folder, "config.ini"))
    os.symlink("elsewhere.ini", os.path.join(folder, "config.ini"))
    good(*train(folder, "--steps", 1))
    assert os.path.islink(os.path.join(folder, "config.ini")) and "[train]" in open(os.path.join(folder, "elsewhere.ini")).read()
    fails(5, "not a folder", *train(DATA, "--steps", 1))


def read_too(ranks):
    """An output that is an input, by whatever name."""
    x, ini = path("own.h5"), path("own.ini")
    shutil.copy(path("x.h5"), x)
    with open(ini, "w") as f:
        f.write("seed = 1\n")
    for link in path("hard.h5"), path("later.h5.part"):
        if not os.path.exists(link):
            os.link(x, link)
    put("outside.h5")
    with h5py.File(path("outside.h5"), "a") as f:
        f["samples"] = h5py.ExternalLink("own.h5", "samples")
    cases = [score(x, output="own.h5"), score(x, output=path("hard.h5")), score(x, output=path("later.h5")),
             score(path("x.h5"), "--points", x, "--points-dataset", "/samples", output=x), score(path("outside.h5"), output=x)]
    cases += [(*writers()["toy"], "--config", ini, "--output", ini)]
    cases += [("encode", "--run", RUN, "--output", os.path.join(RUN, f)) for f in ("checkpoint-2.h5", "probe.h5")]
    cases += [("encode", "--run", RUN, "--output", DATA), (*writers()["convert"], "--output", path("cifar", "test_batch.bin")),
              (*writers()["scale"], "--output", os.path.join(RUN, "checkpoint-1.h5"))]
    before = {f: open(f, "rb").read() for f in (x, ini, DATA, path("cifar", "test_batch.bin"), os.path.join(RUN, "checkpoint-2.h5"))}
    for words in cases if ranks == 1 else cases[-1:]:
        fails(2, "also read|file of a run|is read", *words, ranks=ranks)
    assert all(open(f, "rb").read() == content for f, content in before.items())
    assert not os.path.exists(os.path.join(RUN, "probe.h5"))


def ours_damaged():
    """What mige wrote and somebody cut or changed is refused by commands that read any file, too; and a private file stays so."""
    whole, cut = path("whole.h5"), path("cut.h5")
    good(*score(path("x.h5"), output=whole))
    shutil.copy(whole, cut)
    os.chmod(cut, 0o600)
    good(*score(path("x.h5"), output=cut))
    assert os.stat(cut).st_mode & 0o777 == 0o600
    good(*score(cut, "--dataset", "/score"))
    os.truncate(cut, os.path.getsize(cut) - 1)
    fails(3, "cut or changed", *score(cut, "--dataset", "/score"))
    shutil.copy(whole, cut)
    with h5py.File(cut, "a") as f:
        f["score"][0, 0] += 1
    fails(3, "cut or changed", *score(cut, "--dataset", "/score"))
    with h5py.File(cut, "a") as f:
        del f.attrs["sealed"]
    fails(3, "sum does not match", *score(cut, "--dataset", "/score"))
    with h5py.File(cut, "a") as f:
        del f["score"].attrs["crc32"]
    good(*score(cut, "--dataset", "/score"))
    with h5py.File(cut, "a") as f:
        f.attrs["complete"] = 0
    fails(3, "not complete", *score(cut, "--dataset", "/score"))


def standard_output():
    """Full, and closed."""
    node = path("full-node")
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 7))
    except PermissionError:
        raise Skip("needs a device") from None
    probe = "probe", "--run", copy_of_run("full", 1), "--layers", "y", "--probe-epochs", 1, "--quiet"
    commands = [("--version",), ("train", "--dump-config"), ("verify", DATA), probe, (*writers()["toy"], "--output", OUT, "--quiet")]
    for words in commands:
        for closed in (False, True) if words[0] == "toy" else (False,):
            words = list(map(str, words))
            pathlib.Path(OUT).unlink(missing_ok=True)  # a study there is kept aside, which is said
            with open(node, "w") as full:
                r = subprocess.run([MIGE, *words], stdout=full, stderr=subprocess.PIPE, text=True,
                                   preexec_fn=(lambda: os.close(1)) if closed else None, check=False)
            assert r.returncode == 5 and len(r.stderr.strip().splitlines()) == 1, (words, closed, r)
            assert "standard output" in r.stderr, r.stderr
    with open(OUT, "rb") as f:
        assert f.read(4) == b"\x89HDF", "written to as if it were standard output"


# ---- data of a run


def other_data(ranks):
    folder, other, rows = fresh("resume", ranks), path("other.h5"), path("rows.h5")
    images, labels = pictures(40, 5)
    for name, x in ("first.h5", images), ("other.h5", 255 - images), ("rows.h5", images[:, :, :-1]):
        write_data(path(name), x, labels)
    good(*train(folder, "--steps", 1, data=path("first.h5")), ranks=ranks)
    again = "--steps", 2, "--resume"
    fails(3, "another file.*crc32", *train(folder, *again, data=other), ranks=ranks)
    if ranks > 1:
        return  # the rest is found in the same way
    fails(3, "31 x 32", *train(folder, *again, data=rows), ranks=ranks)
    shutil.copy(other, path("first.h5"))  # the same name and size
    fails(3, "another file.*--data", "probe", "--run", folder, ranks=ranks)
    fails(3, "another file.*--data", "encode", "--run", folder, "--output", OUT, ranks=ranks)
    fails(3, "31 x 32", "encode", "--run", folder, "--data", rows, "--output", OUT, ranks=ranks)
    r = good("encode", "--run", folder, "--data", other, "--layers", "y", "--output", OUT, ranks=ranks)
    assert "is not the file that" in r.out, str(r)
    good(*train(folder, *again, "--other-data", data=other), ranks=ranks)
    os.remove(path("first.h5"))
    good("probe", "--run", folder, "--data", other, "--layers", "y", "--probe-epochs", 1, ranks=ranks)
    with open(os.path.join(folder, "config.ini")) as f:
        text = f.read().replace(other, path("gone.h5"))
    with open(os.path.join(folder, "config.ini"), "w") as f:
        f.write(text)
    fails(3, "gone.h5.*config.ini names.*--data", "probe", "--run", folder, ranks=ranks)
    fails(3, "not the folder of a run", "probe", "--run", path("cifar"), ranks=ranks)


# ---- samples


def packed():
    """Conventions of netCDF, against the unpacked values."""
    stored = np.round(SAMPLES / 0.01).astype("i2")
    plain = scores(put("plain.h5", samples=stored * 0.01 + 3))
    name = put("packed.h5", t=stored, bytes=(stored % 256).astype("i1"), u=(stored % 256).astype("u1"))
    with h5py.File(name, "a") as f:
        f["t"].attrs.update(scale_factor=0.01, add_offset=3.0, _FillValue=np.int16(-32768))
        f["bytes"].attrs["_Unsigned"] = np.bytes_("true")
        f["back"], f["i"] = f["u"][()], f["bytes"][()]
        f["back"].attrs["_Unsigned"] = "false"
    same(scores(name, "--dataset", "/t"), plain)
    same(scores(name, "--dataset", "/back"), scores(name, "--dataset", "/i"))
    same(scores(name, "--dataset", "/bytes"), scores(name, "--dataset", "/u"))
    for attribute, value in (("_FillValue", stored[7, 1]), ("missing_value", [9e9, stored[7, 1]]), ("valid_min", stored.min() + 1),
                             ("valid_range", [-32000, stored.max() - 1])):
        with h5py.File(name, "w") as f:
            f["t"] = stored
            f["t"].attrs[attribute] = value
        fails(3, r"row \d+ .*missing" if "valid" in attribute else "row 7 .*missing", *score(name, "--dataset", "/t"))
    with h5py.File(name, "w") as f:
        f.create_dataset("part", (60, 3), "f4", chunks=(10, 3))[:50] = SAMPLES[:50]
        f.create_dataset("never", (60, 3), "f4")
        f.create_dataset("chunks", (60, 3), "f4", chunks=(10, 3))
        f.create_dataset("holes", (60, 3), "f4", chunks=(10, 3), fillvalue=-999)[:55] = SAMPLES[:55]
        f.create_dataset("zero", (60, 3), "f4", fillvalue=0)[:] = SAMPLES * (SAMPLES > -1)
        f["t"], f["rounded"] = stored, np.where(stored == stored[7, 1], -999.9, SAMPLES)
        f["t"].attrs["scale_factor"], f["rounded"].attrs["_FillValue"] = "0.01", np.float32(-999.9)
    fails(3, "row 55 of /holes holds -999, which its fill value", *score(name, "--dataset", "/holes"))
    good(*score(name, "--dataset", "/zero"))
    r = good(*score(name, "--dataset", "/part"))
    assert len(r.warnings) == 1 and "5 of its 6 chunks" in r.warnings[0], str(r)
    for dataset, why in (("/never", "never written"), ("/chunks", "never written"), ("/rounded", "row 7 .*-999.9.*missing"), ("/t", "scale_factor")):
        fails(3, why, *score(name, "--dataset", dataset))
    with h5py.File(name, "w") as f:
        for key, more in (("signed", {"_Unsigned": "false"}), ("fill", {"_Unsigned": "true", "_FillValue": np.uint8(int(stored[7, 1]) % 256)}),
                          ("one", {"valid_range": 3.0})):
            f[key] = (stored % 256).astype("u1").astype("i1")
            f[key].attrs.update(more)
        f["plain"] = f["signed"][()].astype("f8")
    same(scores(name, "--dataset", "/signed"), scores(name, "--dataset", "/plain"))
    fails(3, "missing", *score(name, "--dataset", "/fill"))
    fails(3, "valid_range. is not two", *score(name, "--dataset", "/one"))


def types():
    name, whole = path("types.h5"), np.round(10 * SAMPLES)
    truth = SAMPLES > 0
    with h5py.File(name, "w") as f:
        f["double"], f["big"], f["half"] = whole, whole.astype(">f4"), whole.astype("f2")
        f["i8"], f["i64"], f["truth"], f["bytes"] = whole.astype(">i8"), whole.astype("<i8"), truth, truth.astype("i1")
        f["line"], f["column"] = whole[:, 0], whole[:, :1]
        f["beyond"] = np.array([[1, 2], [2**53 + 2, 3], [4, 5]])
        f["table"] = np.zeros(5, [("time", "f8"), ("load", "f4")])
        f["row"] = whole[:, :1].T
        f["empty"], f["group/x"], f["soft"] = np.zeros((5, 0)), whole, h5py.SoftLink("/nowhere")
        f["far"], f["gone"] = h5py.ExternalLink("x.h5", "samples"), h5py.ExternalLink("gone.h5", "samples")
        f.create_dataset("lzf", data=whole, compression="lzf")
    double = scores(name, "--dataset", "/double")
    for other in "big", "half", "i8", "i64":
        same(scores(name, "--dataset", other), double)
    same(scores(name, "--dataset", "/truth"), scores(name, "--dataset", "/bytes"))
    same(scores(name, "--dataset", "/line"), scores(name, "--dataset", "/column"))
    same(scores(name, "--dataset", "/far"), scores(path("x.h5")))
    same(scores(name, "--dataset", "/row", "--transpose"), scores(name, "--dataset", "/line"))
    for other, why in (("beyond", "row 1 .*2.53"), ("row", "single row.*--transpose"), ("table", "table.*time, load"), ("empty", "is empty"), ("group", "is a group.*/group/x"),
                       ("soft", "link to /nowhere"), ("gone", "link to samples of the file gone.h5"),
                       ("none", r"no data set /none.*/double \[60,3\]"), ("lzf", "filter.*lzf")):
        assert "damaged" not in fails(3, why, *score(name, "--dataset", f"/{other}")).err, other


def arrays():
    """NumPy's files and text, against HDF5."""
    wanted = scores(path("x.h5"))
    crooked = np.round(SAMPLES, 2)
    short = scores(put("short.h5", samples=crooked))
    for name, x, more in (("c", SAMPLES, ()), ("fortran", np.asfortranarray(SAMPLES.astype(">f8")), ()),
                          ("turned", np.asfortranarray(SAMPLES.T), ("--transpose",))):
        np.save(path(f"{name}.npy"), x)
        same(scores(path(f"{name}.npy"), *more), wanted)
    for kind in "<f2", ">i2", "?":
        x = np.abs(np.round(9 * SAMPLES)).astype(kind)
        np.save(path("kind.npy"), x)
        same(scores(path("kind.npy"), "--width", 1), scores(put("kind.h5", samples=x.astype("f8")), "--width", 1))
    for name, text in (("names.csv", ['"2,4-D","b",c', '"%g",%g,%g']), ("semi.csv", ["# x", "%g;%g; %g "]), ("units.csv", ["a (C; mean),b,c", "%g,%g,%g"]),
                       ("blank.txt", ["  %g  %g %g"])):
        end, start = ("\r\n", "\ufeff") if name == "names.csv" else ("\n", "")
        with open(path(name), "w", newline="") as f:
            f.write(start + end.join([*text[:-1], *(text[-1] % tuple(row) for row in crooked)]) + end)
        same(scores(path(name)), short)
    np.savetxt(path("saved.txt"), SAMPLES, header="made by NumPy")
    same(scores(path("saved.txt"), "--points", path("c.npy")), wanted)
    for text, why in (("1,2\n3\n", "line 2 has 1 field"), ("a,b\n1,\n", "line 2, field 2.*missing"), ("1;2\n3,5;4\n", "line 2.*decimal"),
                      ("1,5;2\n3,5;4\n", "line 1, field 1.*decimal"),
                      ("NA,NA\n1,2\n", "nothing but missing"), ("1,1e999\n", "field 2"), (",0,1\n0,3,4\n", "first column has no name")):
        with open(path("bad.csv"), "w") as f:
            f.write(text)
        fails(3, why, *score(path("bad.csv")))
    with open(path("c.npy"), "rb") as f:
        whole = f.read()
    np.save(path("object.npy"), np.array([1, "a"], dtype=object))
    np.save(path("spaced.npy"), np.asfortranarray(SAMPLES))
    with open(path("spaced.npy"), "rb") as f:
        text = f.read()
    for old, new in ((b"'fortran_order': True, ", b"'fortran_order' : True,"), (b"'descr': '<f8'", b"'descr' :'<f8'")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    with open(path("spaced.npy"), "wb") as f:
        f.write(text)
    same(scores(path("spaced.npy")), wanted)
    for name, content, why in (("cut.npy", whole[:-8], "is cut"), ("more.npy", whole + b"x", "follows"), ("object.npy", None, "type")):
        if content:
            with open(path(name), "wb") as f:
                f.write(content)
        fails(3, why, *score(path(name)))


def tables_of_text():
    """As spreadsheets, Windows and other programs write them: nothing is dropped or counted twice without a word."""
    rows = "\n".join("%.17g,%.17g,%.17g" % tuple(row) for row in SAMPLES) + "\n"
    wanted = scores(path("x.h5"))

    def table(text, name="table.csv"):
        with open(path(name), "w") as f:
            f.write(text)
        return score(path(name))

    for text in (rows + "# foot\n", "sep=,\n" + rows, '"Temp, C","P, kPa",z\n' + rows, rows.replace(",", "\t").replace("\n", "\t\n"),
                 "\n".join(line.replace(",", " ", 1).replace(",", "\t") for line in rows.splitlines()) + "\n  # end\n\n"):
        r = good(*table(text))
        assert not r.warnings, str(r)
        same(scores(path("table.csv")), wanted)
    assert "0,05" not in str(good(*table("1,50\n2,346\n-3,5\n9,8\n")).warnings)
    for first, why in (("#N/A,0.5,0.7", "#N/A"), ("1e400,1,1", "1e400"), ("1.#QNAN,1,1", "QNAN"), ("\u22121.5,\u22122,\u22123", "\u2212"),
                       ("--,--,--", "missing"), ("9007199254740993,1,2", "9007"), ("1,2\r3,4", '"2".*CR alone')):
        fails(3, f"line 1.*{why}", *table(first + "\n" + rows))
    fails(3, "line 61.*#DIV", *table(rows + "#DIV/0!,1,2\n" + rows))
    fails(3, "line 3 is empty", *table("v\n1\n\n3\n4\n8\n"))
    good(*table("v\n1\n3\n4\n9\n\n\n"))
    for text, why in (("1,2\n#3,4\n5,6\n7,9\n", "left out"), ("1,234\n2,345\n3,456\n9,871\n", "two columns"),
                      ("1,05\n2,346\n-0,5\n9,8\n", "like 0,05"), ("1,20\n2,346\n-0,5\n9,8\n", "like 0,05"),
                      ("2001,2002,2003\n" + rows, "counts from 2001"), ("0,1\n2,3\n5,7\n", "counts from 0")):
        assert why in good(*table(text)).warnings[0], text
    fails(3, "name it .csv", *table(rows, "table.dat"))


def other_programs():
    """What HDF5 files, pictures and arrays of others say in ways of their own."""
    wanted, name = scores(path("x.h5")), path("others.h5")
    with h5py.File(name, "w") as f:
        f["turned"], f["row"] = SAMPLES, SAMPLES[:, :1]
        for key in "turned", "row":
            f[key].attrs["MATLAB_class"] = np.bytes_("double")
        f.create_dataset("bytes", (60, 3), "u1", fillvalue=254)[:50] = RNG.integers(0, 200, (50, 3))
        stored = np.round(10 * SAMPLES).astype("i2")
        f["kelvin"], f["far"] = stored, stored
        f["kelvin"].attrs.update(scale_factor=0.1, add_offset=273.0, valid_range=np.array([200.0, 273 + 0.1 * stored.max()], "f4"))
        f["far"].attrs.update(scale_factor=-10.0, valid_min=5 - 10.0 * stored.max())
        f["thin"], f["offset"] = SAMPLES * [1, 1, 1e-170], SAMPLES + np.array([0, 0, 1e12])
    same(scores(name, "--dataset", "/turned", "--transpose"), wanted)
    assert scores(name, "--dataset", "/row", "--transpose").shape == (60, 1)
    assert "constant" not in str(good(*score(name, "--dataset", "/offset")).warnings)
    fails(3, "row 50 of /bytes holds 254", *score(name, "--dataset", "/bytes"))
    good(*score(name, "--dataset", "/kelvin"))
    fails(3, "missing", *score(name, "--dataset", "/far"))
    fails(4, "variance of dimension 2 is 0", *score(name, "--dataset", "/thin", "--precondition", "whiten"))
    np.save(path("two.npy"), SAMPLES)
    with open(path("two.npy"), "rb+") as f:
        text = f.read().replace(b"(60, 3), }  ", b"(60L, 3L), }", 1)
        f.seek(0)
        f.write(text)
    same(scores(path("two.npy")), wanted)
    solver = "--estimator", "stein", "--solver", "cg"
    plain = scores(path("x.h5"), *solver)
    for unit in 1e-30, 1e31:
        same(scores(put("unit.h5", samples=unit * SAMPLES), *solver) * unit, plain, 1e-4)
    with open(OUT + ".part", "w") as f:
        f.write("mine")
    fails(5, "another program's file", *score(path("x.h5")))
    assert os.path.getsize(OUT + ".part") == 4
    os.remove(OUT + ".part")
    for images, why in (RNG.integers(0, 255, (16, 16, 64), np.uint8), "images last"), (RNG.uniform(0, 4.2, (64, 1, 16, 16)), "almost black, and"):
        np.save(path("odd.npy"), images)
        assert why in good("train", "--data", path("odd.npy"), "--out", path("no"), "--batch", 16, "--dry-run").warnings[0], why
    y, labels = RNG.normal(size=(90, 4)), np.arange(90) % 3
    put("features.h5", **{f"{split}/{key}": v for split in ("train", "test") for key, v in (("y", y), ("labels", labels))})
    probe = "probe", "--input", path("features.h5"), "--layers", "y", "--probe-epochs", 1, "--output", path("probed.h5"), "--quiet"
    good(*probe)
    put("features.h5", **{f"{split}/{key}": v for split in ("train", "test") for key, v in (("y", y), ("labels", np.eye(3)[labels]))})
    fails(3, "one-hot", *probe)


def labels_of_truth():
    """For mige mi truth values are classes, as integers are."""
    y = RNG.random(400) < 0.5
    x = RNG.normal(size=(400, 2)) + 2 * y[:, None]
    lines = []
    for k in y, y.astype("i4"):
        lines.append(good("mi", "--input", put("pairs.h5", x=x, y=k), "--shuffles", 0).out.splitlines()[-1])
    assert lines[0] == lines[1], lines


def other_kinds():
    for name, content, why in (("a.npz", b"PK\x03\x04", "zip"), ("b.csv", b"\x1f\x8b\x08\0", "gunzip"), ("c.mat", b"MATLAB 5.0 MAT-file", "-v7.3"),
                               ("d.h5", b"<!DOCTYPE html>", "web page"), ("e.h5", b"words\n", "not an HDF5 file")):
        with open(path(name), "wb") as f:
            f.write(content + b"\0" * 300)
        fails(3, why, *score(path(name)))
    with h5py.File(path("matlab.h5"), "w") as f:
        f["samples"] = SAMPLES.T
        f["samples"].attrs["MATLAB_class"] = np.bytes_("double")
    r = good(*(w for w in score(path("matlab.h5")) if w != "--quiet"))
    assert "MATLAB" in r.out and "60 samples in 3 dimensions" in r.out, str(r)
    same(scores(path("matlab.h5")), scores(path("x.h5")))


def memory():
    put("wide.h5", samples=RNG.normal(size=(20, 1500)))
    fails(2, "wide.h5.*GB", *score(path("wide.h5"), "--estimator", "stein", "--precondition", "whiten", "--memory", 0.02))
    put("tall.h5", samples=np.zeros((60000, 100), "i1"))
    r = fails(2, "tall.h5.*GB", *score(path("tall.h5"), "--estimator", "stein", "--memory", 0.05, "--dry-run"))
    assert "--solver" not in r.messages[0], r.messages


# ---- words


def unread():
    """Options that nothing reads are named; what would seem to check or choose is refused."""
    np.save(path("c.npy"), SAMPLES)
    for words, names in ((score(path("x.h5"), "--eta", 1), ["--eta"]), (score(path("x.h5"), "--estimator", "stein", "--eta", 0.1), []),
                         (score(path("x.h5"), "--points-dataset", "/p"), ["--points-dataset"]),
                         (score(path("x.h5"), "--eigen", 5, "--threshold", 0.5), ["--threshold"]),
                         (score(path("c.npy"), "--dataset", "/p"), ["/p is not read"]),
                         ((*train(path("no"), "--dry-run"), "--beta", 1, "--critic", "concat", "--temperature", 1, "--conditional", "ssge"),
                          ["--beta", "--critic", "--temperature", "--conditional"]),
                         ((*train(path("no"), "--dry-run"), "--objective", "jsd", "--eta", 1), ["--eta", "--projection"]),
                         ((*writers()["toy"], "--critic-steps", 3, "--output", OUT), ["--critic-steps"]),
                         (score(path("x.h5"), "--seed", 1, "--seed=2"), ["--seed: given more than once; 1"])):
        r = good(*words)
        assert bool(r.warnings) == bool(names) and all(n in r.warnings[0] for n in names), str(r)
    for more in ("--eigen", 5), ("--threshold", 0.5), ("--check", "eigen"), ("--solver", "lapack"):
        fails(2, "eigenvalues|solvers", *score(path("x.h5"), "--estimator", "stein", *more))
    fails(2, "solvers", *score(path("x.h5"), "--estimator", "ssm", "--solver", "lapack"))


def ini_files():
    def ini(text):
        with open(path("some.ini"), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return score(path("x.h5"), "--config", path("some.ini"))

    for text in ("\ufeff[score]\r\nseed = 3\r\n", "seed = 3 ; three\n[score]\nseed = 4", f"; {400 * 'x'}\n[score]\n  seed = 3\n  width = 2\n  [train]\n  steps = 3\n"):
        assert not good(*ini(text)).warnings, text
    fails(2, "--points: its value is empty", *score(path("x.h5"), "--points", ""))
    for text, why in ((bytes(100), "NUL"), ("config = b.ini\n", "another"), ("[nosuch]\n", "section"), ("Seed = 1\n", "nearest: seed"),
                      ("seed = 5 # five\n", "number"), ("dataset = /samples\n  seed = 3\n", "indented"), (250 * " " + "seed = 3\n", "longer")):
        fails(2, why, *ini(text))
    for text in 'dataset = "/samples"\n', "dataset = /samples # these\n":
        r = mige(*ini(text))
        assert r.status == 3 and "some.ini:1: dataset" in r.warnings[0], str(r)
    for text in "", "[train]\nseed = 5\n":
        assert "nothing for score" in good(*ini(text)).warnings[0], text
    os.mkfifo(path("fifo.ini"))
    fails(3, "regular file", "score", "--config", path("fifo.ini"))


def small_words():
    for kind in "toy", "scale":
        fails(2, "--rho.*0 the true gradient is 0", *writers()[kind][:-1], "--rho=0:0:1", "--output", OUT)
    good("scale", "--samples", "1e2", "--dim", 2, "--rho=0.3:0.6:2", "--output", OUT)
    assert "mige score" in good("help", "score").out and "train" in good("help").out
    assert good("-V").out == good("--version").out
    fails(2, "4 ranks were started", "info", env={"PMI_SIZE": "4"})


def main():
    cases = Cases()
    cases.run("prepare", prepare)
    for case in no_files, read_too, other_data:
        for ranks in 1, 3:
            cases.run(f"{case.__name__.replace('_', ' ')} np {ranks}", case, ranks)
    for case in (links, no_folders, ours_damaged, standard_output, packed, types, arrays, tables_of_text, other_programs,
                 labels_of_truth, other_kinds, memory, unread, ini_files, small_words):
        cases.run(case.__name__.replace("_", " "), case)
    cases.end()


if __name__ == "__main__":
    main()
