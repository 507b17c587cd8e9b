"""Files that h5py writes for tests/test_io.c and test_damage.c: python3 tests/ref/io_h5py.py"""
import os
import zlib

import h5py
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))


def start(name, **attributes):
    f = h5py.File(os.path.join(here, name), "w", libver="v110")
    for key, value in attributes.items():
        f.attrs[key] = value
    return f


def add(f, name, values):
    d = f.create_dataset(name, data=values)
    d.attrs["crc32"] = np.uint32(zlib.crc32(values.tobytes()))
    d.attrs["units"] = np.bytes_("1")
    d.attrs["long_name"] = np.bytes_(name)
    return d


ours = {"format": np.bytes_("mige-data"), "format_version": 1, "complete": 1}
x = (np.arange(6) / 8 - 0.25).astype("<f4").reshape(3, 2)

with start("io_h5py.h5", **ours) as f:
    f.attrs["variable"] = "of variable length"
    print("crc32 of /group/x: 0x%08x" % add(f, "group/x", x).attrs["crc32"])
    add(f, "half", np.array([0.5, 1, 1.5, -2], "<f2"))
    add(f, "names", np.array([b"one", b"two"]))

with start("io_newer.h5", **{**ours, "format_version": 2}) as f:
    add(f, "x", x)
with start("io_unfinished.h5", **{**ours, "complete": 0}) as f:
    add(f, "x", x)
with start("io_foreign.h5") as f:
    f["x"] = np.array([258, -3], ">i2")
