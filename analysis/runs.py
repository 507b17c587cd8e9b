"""A run's folder, as `mige train` and `mige probe` write it: while it goes on, done, stopped or killed."""
import fcntl
import glob
import os
import re
import struct

import h5py
import numpy as np
from common import options, text

LAYERS = ["conv", "fc", "y"]


class Run:
    """series {name: values} with units {name: text} and steps {name: steps}: those of every step by their names, of tests test_NAME,
    and what is kept each time the file is written. accuracy {(kind, layer): percent}, of kind trained or untrained."""

    def __init__(self, folder):
        self.folder, self.name = folder, os.path.basename(os.path.abspath(folder))
        self.series, self.units, self.steps, self.accuracy, self.test_images = {}, {}, {}, {}, 0
        metrics = os.path.join(folder, "metrics.h5")
        if not os.path.exists(metrics):
            raise OSError(f"{metrics}: no such file")
        with h5py.File(metrics, "r") as f:
            for table, start in ("train", ""), ("test", "test_"), ("interval", ""):
                for name in set(f.get(table, {})) - ({"step"} if start or table != "train" else set()):
                    self.series[start + name], self.units[start + name] = f[table][name][()], text(f[table][name].attrs["units"])
                    self.steps[start + name] = f[table]["step"][()]
            self.options = options(text(f.attrs["config"]))
            self.about = {k: text(v) for k, v in f.attrs.items() if k != "config"}
            self.ranks = int(f.attrs["ranks"])
        self.step = int(self.series["step"][-1]) if len(self.series["step"]) else 0
        self.epoch = float(self.series["epoch"][-1]) if self.step else 0.0
        self.read_probe(os.path.join(folder, "probe.h5"))

    def read_probe(self, probe):
        if not os.path.exists(probe):
            return
        with h5py.File(probe, "r") as f:
            self.test_images = int(f.attrs["test_images"])
            for kind in "untrained", "trained":
                for layer in f.get(kind, {}):
                    if "accuracy" in f[kind][layer]:  # of the mlp classifier
                        self.accuracy[kind, layer] = float(f[kind][layer]["accuracy"][-1])

    def last_step(self):
        """The number of steps that it is to have; None before the first."""
        if int(self.options["steps"]):
            return int(self.options["steps"])
        return round(int(self.options["epochs"]) * self.step / self.epoch) if self.step else None

    def state(self):
        """done, running (a process holds its lock), or stopped: at a limit, by a signal, or killed."""
        if self.last_step() is not None and self.step >= self.last_step():
            return "done"
        return "running" if held(os.path.join(self.folder, ".lock")) else "stopped"

    def checkpoints(self):
        found = (re.fullmatch(r"checkpoint-(\d+)\.h5", os.path.basename(p)) for p in glob.glob(os.path.join(self.folder, "*.h5")))
        return sorted(int(m[1]) for m in found if m)

    def settings(self):
        o = self.options
        what = f"objective {o['objective']}"
        if o["task"] == "infomax":
            what += f", circumstance {o['circumstance']}" + (f" ({o['augment']})" if o.get("augment") else "")
        return (f"{os.path.splitext(os.path.basename(o['data']))[0]}, {what}, encoder {o.get('encoder', 'dim')}, batch {o['batch']}, "
                f"code {o['code']}\n{self.epoch:.4g} epochs, learning rate {float(o['learning-rate']):g}, seed {o['seed']}, "
                f"{self.ranks} rank{'s' * (self.ranks > 1)}")

    def named(self, end):
        """Series of this name, or that end so."""
        return [n for n in sorted(self.series) if n == end or (end[0] == "_" and n.endswith(end) and not n.startswith("seconds_"))]

    def last(self, name):
        """Mean over the last fiftieth of a series; NaN: there is none."""
        y = self.series.get(name, [])
        return float(np.mean(y[-max(1, len(y) // 50):])) if len(y) else np.nan


def held(path):
    """Whether a process has the lock of a file, asked without taking it."""
    try:
        with open(path, "rb") as f:
            asked = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            return struct.unpack("hhqqi4x", fcntl.fcntl(f, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK
    except OSError:
        return False


def smooth(y):
    """Running mean over about a fiftieth of the run, so that several curves can be told apart."""
    n = max(1, len(y) // 50)
    if n == 1:
        return y
    sums = np.cumsum(np.concatenate([[0.0], y]))
    low = np.maximum(np.arange(len(y)) - n // 2, 0)
    high = np.minimum(np.arange(len(y)) + n - n // 2, len(y))
    return (sums[high] - sums[low]) / (high - low)
