#!/usr/bin/env python3
"""Images as users have them: data files of other programs, folders of pictures, the official files of other sets."""
import os

import h5py
import numpy as np
from PIL import Image

from program import RUN, Cases, fails, fresh, good, path, pictures, prepare_run, same, train

RNG = np.random.default_rng(7)
OUT = path("out.h5")


def images_of(name, **sets):
    with h5py.File(path(name), "w") as f:
        f.attrs["format"], f.attrs["format_version"], f.attrs["complete"] = "mige-data", 1, True
        for key, values in sets.items():
            f[key.replace("_", "/", 1) if key != "class_names" else key] = values
    return path(name)


def features(name):
    good("encode", "--run", RUN, "--data", name, "--layers", "y", "--output", OUT, "--quiet")
    with h5py.File(OUT) as f:
        return f["train/y"][:]


def images():
    """Of any type: their features are those of the same bytes."""
    x, y = pictures(24, 3)
    name = images_of("images.h5", train_images=x, train_labels=y, test_images=x, test_labels=y, class_names=["a"] * 10)
    r = good("verify", name)
    assert "without sums" in r.out, str(r)
    wanted = features(name)
    for other in (x / 255).astype("f4"), x * np.float64(np.float32(1 / 255)), x.astype("f8"), x.astype(">i8"):
        r = good("train", "--data", images_of("images.h5", train_images=other), "--out", path("no"), "--batch", 8, "--dry-run")
        assert f"pixels are {'floats' if other.dtype.kind == 'f' else 'integers'} within 0 to" in r.out, str(r)
        same(features(path("images.h5")), wanted, 1e-6)
    np.save(path("images.npy"), x)
    same(features(path("images.npy")), wanted, 1e-6)
    with h5py.File(images_of("images.h5", train_images=x.astype("i2") - 7), "a") as f:
        f["train/images"].attrs["add_offset"] = 7
    same(features(path("images.h5")), wanted, 1e-6)
    bits = x > 99
    same(features(images_of("images.h5", train_images=bits)), features(images_of("images.h5", train_images=255 * bits.astype("u1"))))
    run = path("grey-run")
    grey = images_of("grey.h5", train_images=x[:, 0])
    good(*train(run, "--steps", 1, data=grey))
    with h5py.File(os.path.join(run, "checkpoint-1.h5")) as f:
        assert "image-size = 1 x 32 x 32" in f.attrs["trajectory"].decode()
    fails(3, "labels", "probe", "--run", run)
    fails(3, "no labels", *train(path("no"), "--task", "ib", "--objective", "ce", data=grey))
    good(*train(fresh("ib", 1), "--task", "ib", "--objective", "ce", "--steps", 2, data=images_of("ib.h5", train_images=x, train_labels=y)))


def doubted():
    """Two scales of pixels in one set; classes without images."""
    x, _ = pictures(32, 4)
    y, mixed = np.arange(32) % 4, x / 255
    mixed[16:] *= 255
    cases = {"16 images of /train/images are within 0 to 1, 16": dict(train_images=mixed, train_labels=y), "one class": dict(train_images=x, train_labels=0 * y),
             "class 1, nor of others, of 0 to 30": dict(train_images=x, train_labels=10 * y), "class 0, of 0 to 4": dict(train_images=x, train_labels=y + 1),
             "all 32 training images are equal": dict(train_images=x[:1].repeat(32, 0), train_labels=y),
             "": dict(train_images=x.astype("f8"), train_labels=y, test_images=x, test_labels=y)}
    for why, sets in cases.items():
        r = good("train", "--data", images_of("doubts.h5", **sets), "--out", path("no"), "--task", "ib", "--batch", 8, "--dry-run")
        assert len(r.warnings) == (why != "") and why in r.err, f"{why}: {r}"
    r = good("train", "--data", images_of("doubts.h5", train_images=x, train_labels=y % 2, test_images=x, test_labels=y), "--out", path("no"),
             "--task", "ib", "--batch", 8, "--dry-run")
    assert len(r.warnings) == 2 and "16 of 32 test images" in r.warnings[1], str(r)


def bad_images():
    x, y = pictures(24, 3)

    def bad(why, labels=y, train_images=x, **more):
        name = images_of("images.h5", train_images=train_images, train_labels=labels, **more)
        more = "--out", path("no"), "--batch", 8, "--steps", 1, "--quiet"
        fails(3, why, "train", "--data", name, *more, "--dry-run")
        if "last" in why or "small" in why:
            fails(3, why, "train", "--data", name, *more)

    names = {"class_names": [str(i) for i in range(10)]}
    bad("label 10.*start at 0", y + 1, **names)
    bad("label 4294967296", y.astype("i8") + 2**32, **names)
    bad("label 0.5", y + 0.5, **names)
    bad("one-hot", np.eye(10)[y])
    bad("channels last", train_images=x.transpose(0, 2, 3, 1))
    bad("images last", train_images=np.zeros((32, 32, 3, 24), "u1"), labels=np.zeros(32, int))
    bad("channels last", train_images=x.transpose(0, 2, 3, 1)[..., :2])
    bad("brightest pixel .* 1.02", train_images=np.where(np.arange(32) == 3, 1.02, x / 255))
    bad("too small.*8 x 8", train_images=x[:, :, :4, :4])
    bad("2 dimensions", train_images=x.reshape(24, -1))
    bad("pixel -0", train_images=x / 127.5 - 1)
    bad("pixel nan", train_images=np.where(np.arange(32) == 3, np.nan, x))
    bad(r"pixel \d{4,}", train_images=x.astype("u2") * 256)
    bad("scale them alike", train_images=x / 255, test_images=x * 1.0)
    bad("another size", test_images=x[:, :, 1:])
    good("train", "--data", images_of("images.h5", train_images=x, train_labels=y[:, None]), "--out", path("no"), "--dry-run", "--batch", 8)
    r = good("train", "--data", images_of("images.h5", train_images=(x > 99).astype("u1")), "--out", path("no"), "--dry-run", "--batch", 8)
    assert "almost black" in r.warnings[0], str(r)


def folder_of_pictures():
    """2,000 PNGs of two sizes."""
    top = path("pictures")
    for i in range(2000):
        name = os.path.join(top, "train" if i < 1600 else "test", "cat dog emu".split()[i % 3], f"{i:04}.png")
        os.makedirs(os.path.dirname(name), exist_ok=True)
        size = (20, 24, 3) if i % 2 else (28, 16, 3)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, size, dtype=np.uint8)).save(name, compress_level=1)
    convert = "convert", "--format", "folder", "--from", top, "--output", path("pictures.h5")
    fails(3, "20 x 24 pixels.*28 x 16|28 x 16 pixels.*20 x 24", *convert)
    good(*convert, "--resize", "12x10", "--quiet")
    with h5py.File(path("pictures.h5")) as f:
        x, y = f["train/images"][:], f["train/labels"][:]
        assert x.shape == (1600, 3, 12, 10) and f["test/images"].shape == (400, 3, 12, 10)
        assert [n.decode() for n in f["class_names"][:]] == ["cat", "dog", "emu"] and list(np.bincount(y)) == [534, 533, 533]
    at = 0
    for k, name in enumerate("cat dog emu".split()):
        for picture in sorted(os.listdir(os.path.join(top, "train", name)))[:20]:
            with Image.open(os.path.join(top, "train", name, picture)) as p:
                wanted = np.asarray(p.resize((10, 12), Image.BILINEAR)).transpose(2, 0, 1).astype(int)
            assert np.abs(wanted - x[at]).max() <= 1 and y[at] == k, picture  # Pillow rounds between the two directions
            at += 1
        at = np.flatnonzero(y == k)[-1] + 1
    fails(2, "is read", *convert[:-1], os.path.join(top, "train", "cat", "0000.png"), "--resize", 8)
    os.makedirs(os.path.join(top, "Val"))
    os.makedirs(os.path.join(top, "train", "ape"))
    r = good(*convert, "--resize", 8, "--quiet")
    assert len(r.warnings) == 2 and "Val: is beside" in r.warnings[0] and "class 0, ape, has no picture" in r.warnings[1], str(r)
    os.rmdir(os.path.join(top, "train", "ape"))
    os.makedirs(os.path.join(top, "test", "fox"))
    fails(3, "fox.*no such class", *convert, "--resize", 8)
    os.rename(os.path.join(top, "train"), os.path.join(top, "cats"))
    os.makedirs(os.path.join(top, "train"))
    fails(3, "train: has 0 folders", *convert, "--resize", 8)  # a split, since there is one for tests
    for k, name in enumerate(("car", "train", "ship")):  # "train" is a class where it holds pictures
        os.makedirs(path("vehicles", name))
        Image.fromarray(np.full((8, 8), 60 + 60 * k, np.uint8)).save(path("vehicles", name, "1.png"))
    good("convert", "--format", "folder", "--from", path("vehicles"), "--output", path("vehicles.h5"), "--quiet")
    with h5py.File(path("vehicles.h5")) as f:
        assert [n.decode() for n in f["class_names"][:]] == ["car", "ship", "train"] and f["train/images"][:, 0, 0, 0].tolist() == [60, 180, 120]
    linked = "convert", "--format", "folder", "--from", path("by-links"), "--output", path("by-links.h5"), "--quiet"
    for to, name in (os.path.join("..", "vehicles", "car"), "car"), (path("vehicles", "ship"), "boat"):
        os.makedirs(path("by-links"), exist_ok=True)
        os.symlink(to, path("by-links", name))
    assert not good(*linked).warnings
    with h5py.File(path("by-links.h5")) as f:
        assert [n.decode() for n in f["class_names"][:]] == ["boat", "car"] and f["train/images"][:, 0, 0, 0].tolist() == [180, 60]
    for to in "nowhere", "bus":
        os.symlink(to, path("by-links", "bus"))
        fails(3, "bus: leads nowhere", *linked)
        os.remove(path("by-links", "bus"))


def odd_pictures():
    top = path("odd")
    os.makedirs(os.path.join(top, "k"))
    pixels = RNG.integers(0, 256, (9, 8, 4), dtype=np.uint8)
    colour = Image.fromarray(pixels[..., :3])
    wide = RNG.integers(0, 65536, (9, 8)).astype("u2")
    kept = {"a-grey.png": colour.convert("L"), "b-palette.png": colour.quantize(16), "c-bits.png": colour.convert("1"),
            "d-opaque.png": colour.convert("RGBA"), "e.jpg": colour, "f-grey.jpg": colour.convert("L"), "g-wide.png": Image.fromarray(wide)}
    left = {"m-alpha.png": Image.fromarray(pixels), "n-cmyk.jpg": colour.convert("CMYK"), "o.gif": colour}
    for name, p in {**kept, **left}.items():
        p.save(os.path.join(top, "k", name))
    for name in "e.jpg", "d-opaque.png":
        with open(os.path.join(top, "k", name), "rb") as f:
            whole = f.read()
        left[f"p-cut-{name}"] = whole[:-40]
    os.makedirs(os.path.join(top, "__MACOSX", "k"))
    os.makedirs(os.path.join(top, "k", "t-folder"))
    left |= {"t-folder": None, "q-zero.png": b"", "r.txt": b"words\n", "s-flipped.png": whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]}
    for name, content in left.items():
        if isinstance(content, bytes):
            with open(os.path.join(top, "k", name), "wb") as f:
                f.write(content)
    r = good("convert", "--format", "folder", "--from", top, "--output", path("odd.h5"))
    assert len(r.warnings) == len(left) + 1 and all(any(n in w for w in r.warnings) for n in left), str(r)
    assert "1 pictures have 16 bits" in r.warnings[-1], str(r)
    with h5py.File(path("odd.h5")) as f:
        x = f["train/images"][:]
        assert "test" not in f
    wanted = [np.asarray(Image.open(os.path.join(top, "k", n)).convert("RGB")).transpose(2, 0, 1) for n in list(kept)[:-1]]
    assert np.array_equal(x[:-1], wanted) and np.abs(x[-1] - wide / 257).max() <= 0.5
    for name in kept:
        os.remove(os.path.join(top, "k", name))
    os.rmdir(os.path.join(top, "k", "t-folder"))
    fails(3, "no picture", "convert", "--format", "folder", "--from", top, "--output", path("odd.h5"))
    fails(3, "0 folders of classes", "convert", "--format", "folder", "--from", os.path.join(top, "k"), "--output", path("odd.h5"))


def official_files():
    folder = path("stl10_binary")
    os.makedirs(folder)
    planes = RNG.integers(0, 256, (4, 3, 96, 96), dtype=np.uint8)
    for split in "train", "test":
        planes.transpose(0, 1, 3, 2).tofile(os.path.join(folder, f"{split}_X.bin"))
        np.array([1, 10, 2, 3], "u1").tofile(os.path.join(folder, f"{split}_y.bin"))
    good("convert", "--format", "stl10", "--from", path(), "--output", OUT, "--quiet")
    with h5py.File(OUT) as f:
        assert np.array_equal(f["train/images"][:], planes) and list(f["test/labels"][:]) == [0, 9, 1, 2]
    for name, why in ("data_batch_1", "for Python"), ("cifar-10-binary.tar.gz", "unpack"), ("emnist-letters-train-images-idx3-ubyte.gz", "EMNIST"):
        other = path(f"other-{name}")
        os.makedirs(other)
        with open(os.path.join(other, name), "w") as f:
            f.write("x")
        fails(3, why, "convert", "--from", other, "--output", OUT)
    with open(os.path.join(other, "train-images-idx3-ubyte.gz"), "w") as f:
        f.write("<html>no</html>")
    fails(3, "web page", "convert", "--format", "mnist", "--from", other, "--output", OUT)


def strings():
    """Attributes as other programs write them."""
    for name, value in ("mige-data", 1), (np.bytes_("mige-data"), np.True_):
        images_of("strings.h5", train_images=pictures(8, 1)[0])
        with h5py.File(path("strings.h5"), "a") as f:
            f.attrs["format"], f.attrs["complete"] = name, value
        good("verify", path("strings.h5"))


def main():
    cases = Cases()
    cases.run("prepare", prepare_run)
    for case in images, doubted, bad_images, folder_of_pictures, odd_pictures, official_files, strings:
        cases.run(case.__name__.replace("_", " "), case)
    cases.end()


if __name__ == "__main__":
    main()
