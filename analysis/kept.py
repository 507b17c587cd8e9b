"""What jobs/study.py has kept: RESULTS/PLAN/NAME-SEED with config.ini, metrics.h5, probe-EPOCHS.h5, study.json."""
import argparse
import configparser
import glob
import json
import os

import h5py
import numpy as np

LAYERS = ["conv", "fc", "y"]


class Kept:
    """One run. probes {epochs: {(kind, layer, result): values}}, of kind trained or untrained; steps {epochs: steps}."""

    def __init__(self, folder):
        self.folder = folder
        self.name, _, self.seed = os.path.basename(folder).rpartition("-")
        with open(os.path.join(folder, "study.json")) as f:
            notes = json.load(f)
        self.stages = {int(e): stage for e, stage in notes["stages"].items()}
        self.more, self.data = notes["options"]["more"], os.path.splitext(notes["options"]["data"])[0]
        self.failed = os.path.exists(os.path.join(folder, "failed"))
        self.probes = {e: self.read_probe(e) for e in self.stages if "probe" in notes["options"]}
        self.options = {}
        if os.path.exists(os.path.join(folder, "config.ini")):
            ini = configparser.ConfigParser(interpolation=None)
            ini.read(os.path.join(folder, "config.ini"))
            self.options = dict(ini["train"])

    def read_probe(self, epochs):
        found = {}
        with h5py.File(os.path.join(self.folder, f"probe-{epochs}.h5")) as f:
            self.validation, self.test_images = int(f.attrs["validation"]), int(f.attrs["test_images"])
            for kind in f:
                for layer in f[kind]:
                    found.update({(kind, layer, result): d[()] for result, d in f[kind][layer].items()})
        return found

    def accuracy(self, epochs, layer, result="accuracy", best=False):
        """Of the probe's last epoch, percent, or of its best; None: not probed."""
        values = self.probes.get(epochs, {}).get(("trained", layer, result))
        return None if values is None else float(values.max() if best else values[-1])

    def series(self, name, table="train"):
        """Steps and values; None if there are none of this name."""
        with h5py.File(os.path.join(self.folder, "metrics.h5")) as f:
            if name not in f.get(table, {}):
                return None
            return f[table]["step"][()], f[table][name][()]

    def end(self, name, epochs=None):
        """Mean of a series over the last tenth of the steps up to a stage, or of all; None if there are none of this name."""
        found = self.series(name)
        if found is None:
            return None
        steps, values = found
        last = self.stages[epochs]["steps"] if epochs else steps[-1]
        return float(np.mean(values[(steps > 0.9 * last) & (steps <= last)]))

    def names(self):
        with h5py.File(os.path.join(self.folder, "metrics.h5")) as f:
            return sorted(f["train"])

    def test_errors(self, epochs=None):
        """Test errors, percent, up to this epoch; None: there are none."""
        found = self.series("error", "test")
        if found is None or not len(found[0]):
            return None
        last = self.stages[epochs]["steps"] if epochs else found[0][-1]
        return found[1][found[0] <= last]

    def test_error_at(self, epochs):
        """The test error after this epoch, percent."""
        steps, values = self.series("error", "test")
        end = max(self.stages)
        return float(values[steps == self.stages[end]["steps"] * epochs // end][0])


def load(folder):
    """{name: [runs by seed]} of a plan's folder, in the order of the names."""
    rows = {}
    for notes in sorted(glob.glob(os.path.join(folder, "*", "study.json"))):
        run = Kept(os.path.dirname(notes))
        rows.setdefault(run.name, []).append(run)
    return rows


def average(values):
    """None if there are none."""
    values = [v for v in values if v is not None]
    return float(np.mean(values)) if values else None


def shared_epochs(groups):
    """The most epochs that runs of all groups are probed after; 0: none."""
    found = [{e for r in runs for e in r.probes} for runs in groups]
    return max(set.intersection(*found), default=0) if found else 0


def mean(values, digits=1, best=None):
    """Mean and spread over the seeds as text; best: means of another choice, in brackets."""
    values = [v for v in values if v is not None]
    if not values:
        return "–"
    text = f"{np.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    best = [v for v in best or [] if v is not None]
    return text + (f" ({np.mean(best):.{digits}f})" if best else "")


def write(lines, output):
    text = "\n".join(lines) + "\n"
    print(text, end="")
    os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    with open(output, "w") as f:
        f.write(text)
    print(f"\nwritten to {output}")


def command(about, name, report, tuning):
    """A table's command line: of the rows of its plan, or of the trials of NAME-tune. report(rows, results) -> lines."""
    p = argparse.ArgumentParser(description=about)
    p.add_argument("--results", default="analysis/results")
    p.add_argument("--tune", action="store_true", help=f"the trials of {name}-tune, on held out images")
    p.add_argument("-o", "--output", help=f"RESULTS/{name}.md, or {name}-tune.md")
    o = p.parse_args()
    plan = f"{name}-tune" if o.tune else name
    rows = load(os.path.join(o.results, plan))
    write(tuning(rows) if o.tune else report(rows, o.results), o.output or os.path.join(o.results, f"{plan}.md"))
