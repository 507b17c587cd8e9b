#!/usr/bin/env python3
"""usage: study.py PLAN [OPTION]... [-- OPTION OF EVERY TRAINING...]

Trains and probes what a plan lists, in its order, and keeps what is small of each run. A line of a plan:

  NAME FILE DATA EPOCHS SEEDS [--OPTION VALUE]...     # the last are options of mige train beside those of FILE

NAME    of the row; its runs are RUNS/PLAN/NAME-SEED, and what is kept of them RESULTS/PLAN/NAME-SEED
FILE    options, from the plan's folder: sections [train] and, if the encoder is to be probed, [probe]
DATA    cifar10 is DATA-FOLDER/cifar10.h5
EPOCHS  8, or 12,50: trained to 12, probed, gone on with to 50. A later line of the same NAME may go on further
SEEDS   1, or 1-3, or 1,4

Kept: config.ini, metrics.h5 (of the steps every K-th), probe-EPOCHS.h5, study.json (options, seconds). A run that was ended in
whatever way is gone on with by the same command. SIGTERM, SIGINT, SIGUSR1 or the stop file, when it appears or is touched, end the study: the
training writes a checkpoint; status 75. A training whose numbers go wrong (status 4) is noted in `failed` and the next begins; after any other
failure the study ends with its status. Costs are from what is kept, or from a few steps of each kind before the first run."""
import argparse
import configparser
import ctypes
import fcntl
import glob
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zlib

import h5py
import numpy as np

STOPPED, NUMERIC = 75, 4
ROWS = 400  # of the metrics that are kept, at most
MEASURED = 16  # steps of a measurement


def arguments():
    p = argparse.ArgumentParser(usage=__doc__.replace("usage: ", "", 1))
    p.add_argument("plan")
    p.add_argument("--runs", default=os.environ.get("MIGE_RUNS", "runs"))
    p.add_argument("--results", default="analysis/results")
    p.add_argument("--data-folder", default=".")
    p.add_argument("--mige", default=os.environ.get("MIGE", "build/mige"))
    p.add_argument("--launch", default=os.environ.get("STUDY_LAUNCH", "mpirun -np 2"), help="the launcher, with the number of ranks")
    p.add_argument("--stop-file", default="")
    p.add_argument("--cost", action="store_true", help="print what is left and what it costs, and stop")
    p.add_argument("--item", type=int, default=0, help="only the N-th NAME and SEED of the plan, from 1: one job of an array")
    p.add_argument("--count", action="store_true", help="print how many those are, and stop")
    own, every = sys.argv[1:], []
    if "--" in own:
        own, every = own[: own.index("--")], own[own.index("--") + 1:]
    o = p.parse_args(own)
    o.every = every
    o.name = os.path.splitext(os.path.basename(o.plan))[0]
    return o


def stop_with(status, message):
    print(f"study: {message}", file=sys.stderr)
    sys.exit(status)


def numbers(text):
    """"1-3,5" as a list."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def sections(file):
    ini = configparser.ConfigParser(interpolation=None)
    with open(file) as f:
        ini.read_file(f)
    return {name: dict(ini[name]) for name in ini.sections()}


class Item:
    """One seed of a row, up to a number of epochs."""

    def __init__(self, o, where, words):
        if len(words) < 5:
            stop_with(2, f"{where}: not NAME FILE DATA EPOCHS SEEDS")
        self.name, file, data = words[:3]
        self.file = os.path.join(os.path.dirname(o.plan), file)
        self.data = os.path.join(o.data_folder, f"{data}.h5")
        self.more = words[5:] + o.every
        try:
            self.sections = sections(self.file)
        except (OSError, configparser.Error) as e:
            stop_with(2, f"{where}: {self.file}: {' '.join(str(e).split())}")
        if not os.path.exists(self.data):
            stop_with(3, f"{where}: {self.data}: no such file (see data/README.md, or give --data-folder)")

    def at(self, o, epochs, seed):
        one = object.__new__(Item)
        one.__dict__.update(self.__dict__, epochs=epochs, seed=seed)
        one.label = f"{self.name}-{seed}"
        one.run = os.path.join(o.runs, o.name, one.label)
        one.kept = os.path.join(o.results, o.name, one.label)
        return one

    def options(self):
        """What its results depend on, but for epochs and seed."""
        return {**self.sections, "data": os.path.basename(self.data), "more": " ".join(self.more)}

    def notes(self):
        try:
            with open(os.path.join(self.kept, "study.json")) as f:
                return json.load(f)
        except FileNotFoundError:
            return {"options": self.options(), "stages": {}}

    def done(self):
        notes = self.notes()
        if notes["options"] != self.options():
            stop_with(2, f"{self.kept}: was made with other options than {self.file} and the plan have now (move it away, or "
                         "give the row another name)")
        return str(self.epochs) in notes["stages"] or os.path.exists(os.path.join(self.kept, "failed"))

    def train(self):
        return ["train", "--config", self.file, "--data", self.data, *self.more, "--seed", str(self.seed)]


def read_plan(o):
    items = []
    try:
        with open(o.plan) as f:
            lines = f.read().splitlines()
    except OSError as e:
        stop_with(2, f"{o.plan}: {e.strerror}")
    for i, line in enumerate(lines):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        where = f"{o.plan}:{i + 1}"
        item = Item(o, where, words)
        try:
            items += [item.at(o, e, s) for s in numbers(words[4]) for e in numbers(words[3])]
        except ValueError:
            stop_with(2, f"{where}: \"{words[3]}\" or \"{words[4]}\" is not a list of numbers")
    return items


def ends_with_us():
    """A training stops, by a checkpoint, when the study is killed (Linux's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGUSR1)


class Programs:
    """Runs mige, one after the other; passes wishes to stop on."""

    def __init__(self, o):
        self.o, self.child, self.stopping, self.trains = o, None, False, False
        self.touched = self.stop_file()
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(s, self.stop)

    def stop_file(self):
        """When it was touched."""
        return os.path.getmtime(self.o.stop_file) if self.o.stop_file and os.path.exists(self.o.stop_file) else 0

    def stop(self, *_):
        self.stopping = True
        if self.child and self.child.poll() is None:  # Open MPI's mpirun would give a rank one second after SIGTERM
            self.child.send_signal(signal.SIGUSR1 if self.trains else signal.SIGTERM)

    def run(self, words, log):
        """Its status, and the last thing that it said."""
        if self.stopping or self.stop_file() != self.touched:
            stop_with(STOPPED, "stopped (the same command goes on)")
        self.trains = words[0] == "train"
        stop = ["--stop-file", self.o.stop_file] if self.trains and self.o.stop_file else []
        command = [*shlex.split(self.o.launch), self.o.mige, *words, *stop, "--progress", "line"]
        with open(log, "a") as out:
            out.write(f"$ {shlex.join(command)}\n")
            out.flush()
            begin = out.tell()
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                          start_new_session=True, preexec_fn=ends_with_us)
            if self.stopping:
                self.stop()
            status = self.child.wait()
        with open(log, errors="replace") as f:
            f.seek(begin)
            said = [line.strip() for line in f if line.startswith("mige: ") and "warning" not in line]
        if status == STOPPED or (status and self.stopping):
            stop_with(STOPPED, "stopped (the same command goes on)")
        return status, said[-1] if said else f"see {log}"

    def must(self, words, log, may=0):
        """Its status, 0 or `may`; any other ends the study."""
        status, said = self.run(words, log)
        if status not in (0, may):
            stop_with(status if 0 < status < 128 else 1, said)
        return status, said


# ---- what is kept


def copy_series(source, to, every):
    """Every so many rows of a group of series, and the last, as mige writes them."""
    n = len(source["step"])
    rows = np.unique(np.r_[np.arange(every - 1, n, every), n - 1]) if n else np.arange(0)
    for name, series in source.items():
        values = series[()][rows]
        made = to.create_dataset(name, data=values, compression="gzip" if len(values) else None, chunks=True if len(values) else None)
        made.attrs.update({**series.attrs, "crc32": series.attrs["crc32"].dtype.type(zlib.crc32(values.tobytes()))})


def keep_metrics(run, to):
    with h5py.File(os.path.join(run, "metrics.h5")) as f, h5py.File(f"{to}.part", "w") as g:
        every = max(1, -(-len(f["train/step"]) // ROWS))
        for name in f:
            copy_series(f[name], g.create_group(name), every if name == "train" else 1)
        g.attrs.update({k: v for k, v in f.attrs.items() if k != "sealed"})
        g.attrs["kept_every"] = every
    os.replace(f"{to}.part", to)


def step_seconds(run, batch, first=0):
    with h5py.File(os.path.join(run, "metrics.h5")) as f:
        return batch / f["train/images_per_second"][first:]


def batch_of(run):
    return int(sections(os.path.join(run, "config.ini"))["train"]["batch"])


def check_length(item):
    with h5py.File(os.path.join(item.run, "metrics.h5")) as f:
        epochs = f["train/epoch"][-1] if item.epochs else 0
    if round(epochs, 6) != item.epochs:
        stop_with(1, f"{item.run}: has {epochs:g} epochs, not the {item.epochs} that are to be kept (a shorter stage cannot be had "
                     "any more: delete the run, or take the stage out of the plan)")


def keep(item, probe_seconds):
    os.makedirs(item.kept, exist_ok=True)
    keep_metrics(item.run, os.path.join(item.kept, "metrics.h5"))
    shutil.copy(os.path.join(item.run, "config.ini"), item.kept)
    if "probe" in item.sections:
        shutil.copy(os.path.join(item.run, "probe.h5"), os.path.join(item.kept, f"probe-{item.epochs}.h5"))
    notes, seconds = item.notes(), step_seconds(item.run, batch_of(item.run))
    notes["stages"][str(item.epochs)] = {"train": round(float(seconds.sum()), 1), "steps": len(seconds), "probe": round(probe_seconds, 1)}
    write_json(notes, os.path.join(item.kept, "study.json"))
    for old in sorted(glob.glob(os.path.join(item.run, "checkpoint-*.h5")), key=os.path.getmtime)[:-1]:
        os.remove(old)


def write_json(what, file):
    with open(f"{file}.part", "w") as f:
        json.dump(what, f, indent=1, sort_keys=True)
        f.write("\n")
    os.replace(f"{file}.part", file)


# ---- what it costs


class Costs:
    """Seconds an epoch, and of a probe: from what is kept of the same options, or else measured."""

    def __init__(self, o, programs, items):
        self.o, self.programs, self.file = o, programs, os.path.join(o.runs, o.name, f"rates-{o.item}.json")
        self.rates = {}
        if os.path.exists(self.file):
            with open(self.file) as f:
                self.rates = json.load(f)
        for item in items:
            for epochs, stage in item.notes()["stages"].items():
                if int(epochs):
                    self.rates[self.key(item)] = stage["train"] / int(epochs)
                if "probe" in item.sections:
                    self.rates[self.probe_key(item)] = stage["probe"]

    @staticmethod
    def key(item):
        return json.dumps([item.sections["train"], item.more, os.path.basename(item.data)], sort_keys=True)

    @staticmethod
    def probe_key(item):
        return json.dumps([item.sections["probe"], os.path.basename(item.data)], sort_keys=True)

    def measure(self, item):
        missing = [k for k in (self.key(item), "probe" in item.sections and self.probe_key(item)) if k and k not in self.rates]
        if not missing:
            return
        run, log = (os.path.join(self.o.runs, self.o.name, f"measured-{self.o.item}{end}") for end in ("", ".log"))
        shutil.rmtree(run, ignore_errors=True)
        words = [*item.train(), "--out", run, "--steps", str(MEASURED), "--test-every", "0", "--checkpoint-every", "0"]
        if self.programs.must(words, log, NUMERIC)[0]:
            self.rates[self.key(item)] = 0  # it will fail again, and that is noted
            return
        with h5py.File(os.path.join(run, "metrics.h5")) as f:
            steps_an_epoch = 1 / f["train/epoch"][0]
        self.rates[self.key(item)] = float(np.median(step_seconds(run, batch_of(run), MEASURED // 2))) * steps_an_epoch
        if "probe" in item.sections and self.probe_key(item) in missing:
            few, more = (self.probe(item, run, log, n) for n in (1, 3))
            epochs = int(item.sections["probe"].get("probe-epochs", 20))
            self.rates[self.probe_key(item)] = few + max(0, more - few) / 2 * (epochs - 1)
        shutil.rmtree(run)
        write_json(self.rates, self.file)

    def probe(self, item, run, log, epochs):
        began = time.monotonic()
        self.programs.must(["probe", "--config", item.file, "--run", run, "--probe-epochs", str(epochs)], log)
        return time.monotonic() - began

    def of(self, item, before):
        """Minutes of training, after `before` epochs, and of probing."""
        self.measure(item)
        probe = self.rates.get(self.probe_key(item), 0) if "probe" in item.sections else 0
        return max(0, item.epochs - before) * self.rates[self.key(item)] / 60, probe / 60


def epochs_done(item):
    return max([0, *map(int, item.notes()["stages"])])


def price(costs, left):
    """[(training, probing)] in minutes of what is left; stages of a run go on from one another."""
    reached, prices = {}, []
    for item in left:
        before = reached.get(item.label, epochs_done(item))
        prices.append(costs.of(item, before))
        reached[item.label] = max(before, item.epochs)
    return prices


# ---- the study


def work(item, programs):
    log = f"{item.run}.log"
    words = [*item.train(), "--out", item.run, "--epochs", str(item.epochs), "--resume", "--checkpoint-every", "3min"]
    status, said = programs.must(words, log, NUMERIC)
    if status:
        os.makedirs(item.kept, exist_ok=True)
        write_json(item.notes(), os.path.join(item.kept, "study.json"))
        with open(os.path.join(item.kept, "failed"), "w") as f:
            f.write(f"{said}\n")
        return said
    check_length(item)
    began = time.monotonic()
    if "probe" in item.sections:
        programs.must(["probe", "--config", item.file, "--run", item.run], log)
    keep(item, time.monotonic() - began)
    return "kept"


def main():
    o = arguments()
    items = read_plan(o)
    labels = list(dict.fromkeys(i.label for i in items))
    if o.count:
        print(len(labels))
        return
    if o.item:
        items = [i for i in items if i.label == labels[o.item - 1]]
    left = [i for i in items if not i.done()]
    os.makedirs(os.path.join(o.runs, o.name), exist_ok=True)
    lock = open(os.path.join(o.runs, o.name, f".lock-{o.item}"), "w")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stop_with(5, f"{lock.name}: another study has it (wait for it, or end it)")
    programs = Programs(o)
    costs = Costs(o, programs, items)
    prices = price(costs, left)
    print(f"study: {o.name}: {len(items) - len(left)} of {len(items)} are kept, what is left takes about {sum(map(sum, prices)) / 60:.1f} h",
          flush=True)
    for i, (item, minutes) in enumerate(zip(left, prices)):
        print(f"study: {i + 1}/{len(left)} {item.label}, {item.epochs} epochs: about {minutes[0]:.0f} min of training, {minutes[1]:.0f} of "
              f"probing; {sum(map(sum, prices[i:])) / 60:.1f} h left", flush=True)
        if not o.cost:
            print(f"study: {item.label}: {work(item, programs)}", flush=True)


if __name__ == "__main__":
    main()
