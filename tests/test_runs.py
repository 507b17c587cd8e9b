#!/usr/bin/env python3
"""What becomes of a run: checkpoints kept and damaged, stops of every kind, gone on with; alone and on three ranks."""
import fcntl
import os
import re
import shutil
import signal
import time

import h5py
import numpy as np
from program import (CLASSES, DATA, RUN, Cases, Program, contents, copy_of_run, fails, fresh, good, path, pictures, prepare_run,
                     train, write_data)

def checkpoints(folder):
    """Their steps, and what comes after .h5."""
    found = [re.fullmatch(r"checkpoint-(\d+)\.h5(.*)", f) for f in os.listdir(folder)]
    return [m[1] + m[2] for m in sorted(filter(None, found), key=lambda m: (int(m[1]), m[2]))]


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not after {seconds} s"
        time.sleep(0.05)


def trains(folder):
    """Beyond its beginning."""
    return os.path.isdir(folder) and any(int(c) >= 4 for c in checkpoints(folder) if c.isdigit())


def run_there_already(ranks):
    kept = contents(RUN)
    fails(2, "holds a run.*--resume", *train(RUN, "--steps", 3), ranks=ranks)
    assert contents(RUN) == kept


def other_options(ranks):
    folder = copy_of_run("other", ranks)
    kept = contents(folder)
    fails(3, '--code: .*"4".*"8"', *train(folder, "--steps", 4, "--resume", "--code", 8), ranks=ranks)
    images, labels = pictures(40, 1)
    write_data(path("few.h5"), images, labels)
    fails(3, "has 640 training images, this command's 40", *train(folder, "--steps", 4, "--resume", data=path("few.h5")), ranks=ranks)
    fails(3, "learning-rate", *train(folder, "--steps", 4, "--resume", "--learning-rate", 0.5), ranks=ranks)
    now = contents(folder)
    changed = [f for f in kept if now.get(f) != kept[f]]
    assert not changed and len(now) == len(kept), f"changed: {changed}"


def files_of_another_run(ranks):
    other, folder = fresh("another", ranks), copy_of_run("joined", ranks)
    good(*train(other, "--steps", 2, "--seed", 9), ranks=ranks)
    for name in "metrics.h5", "config.ini":
        shutil.copy(os.path.join(other, name), os.path.join(folder, name))
        kept = contents(folder)
        if name == "metrics.h5":
            for more in (), ("--dry-run",):
                fails(3, '--seed: .*metrics.h5 has "9", this command "', *train(folder, "--steps", 4, "--resume", *more), ranks=ranks)
        else:
            for command in ("encode", "--output", path("joined.h5")), ("probe", "--untrained"):
                fails(3, '--seed: .*checkpoint-2.h5 has .*"9" .*config.ini', command[0], "--run", folder, *command[1:], ranks=ranks)
        assert contents(folder) == kept
    os.remove(os.path.join(folder, "metrics.h5"))
    assert good(*train(folder, "--steps", 4, "--resume"), ranks=ranks).warnings  # the series before are lost, and it says so


def damaged_checkpoint(ranks):
    folder = copy_of_run("damaged", ranks)
    newest = os.path.join(folder, "checkpoint-2.h5")
    with open(newest, "r+b") as f:
        f.truncate(os.path.getsize(newest) // 2)
    for name in ".damaged", ".damaged-2":
        with open(newest + name, "w") as f:
            f.write(name)
    r = good(*train(folder, "--steps", 3, "--resume"), ranks=ranks)
    assert len(r.warnings) == 1 and "checkpoint-2.h5" in r.warnings[0], str(r)
    assert os.path.exists(newest + ".damaged-3") and all(open(newest + n).read() == n for n in (".damaged", ".damaged-2"))
    with h5py.File(os.path.join(folder, "metrics.h5")) as f:
        assert list(f["train/step"]) == [1, 2, 3]
    for f in os.listdir(folder):
        if f.startswith("checkpoint"):
            with open(os.path.join(folder, f), "r+b") as g:
                g.seek(3000)
                g.write(b"damage")
    kept = contents(folder)
    fails(3, "checkpoint", *train(folder, "--steps", 4, "--resume"), ranks=ranks)
    now = contents(folder)
    assert all(now.get(f) == kept[f] for f in kept), "something was changed"


def resume_from_nothing(ranks):
    folder = fresh("nothing", ranks)
    good(*train(folder, "--steps", 1, "--resume"), ranks=ranks)
    assert os.path.exists(os.path.join(folder, "checkpoint-1.h5"))
    good(*train(folder, "--steps", 1, "--resume"), ranks=ranks)


def checkpoints_kept(ranks):
    folder = fresh("kept", ranks)
    good(*train(folder, "--steps", 7, "--checkpoint-every", 1, "--keep-every", 3), ranks=ranks)
    assert checkpoints(folder) == ["3", "6", "7"], checkpoints(folder)
    good(*train(folder, "--steps", 11, "--checkpoint-every", 1, "--keep-every", 3, "--resume"), ranks=ranks)
    assert checkpoints(folder) == ["3", "6", "9", "10", "11"], checkpoints(folder)


def left_behind(ranks):
    """What a process that was killed has not deleted any more goes with the next checkpoint."""
    folder = fresh("left", ranks)
    options = "--checkpoint-every", 1, "--keep-every", 2
    good(*train(folder, "--steps", 1, *options), ranks=ranks)
    shutil.copy(f"{folder}/checkpoint-1.h5", path(f"left-{ranks}.h5"))
    good(*train(folder, "--steps", 6, *options, "--resume"), ranks=ranks)
    shutil.move(path(f"left-{ranks}.h5"), f"{folder}/checkpoint-1.h5")
    for name in "checkpoint-99.h5.part", "checkpoint-99.h5.damaged":
        open(os.path.join(folder, name), "w").close()
    assert checkpoints(folder) == ["1", "2", "4", "5", "6", "99.damaged", "99.part"], checkpoints(folder)
    good(*train(folder, "--steps", 8, *options, "--resume"), ranks=ranks)
    assert checkpoints(folder) == ["2", "4", "6", "7", "8", "99.damaged"], checkpoints(folder)


def two_at_once(ranks):
    """The second is refused, the first goes on."""
    folder = fresh("two", ranks)
    p = Program(*train(folder, "--steps", 10**6, "--checkpoint-every", 2), ranks=ranks)
    until(lambda: trains(folder))
    fails(5, "another process", *train(folder, "--steps", 3, "--resume"), ranks=ranks)
    assert p.process.poll() is None, str(p.result())
    p.process.send_signal(signal.SIGUSR1)
    assert p.result(30).status == 75, str(p.result())
    fails(75, "after its hours", *train(folder, "--steps", 10**6, "--resume", "--max-hours", 1e-9), ranks=ranks)


def folder_anew(ranks):
    """A run whose folder is moved away does not write into the one that takes its place."""
    folder, other = fresh("anew", ranks), copy_of_run("other", ranks)
    p = Program(*train(folder, "--steps", 10**6, "--checkpoint-every", 100), ranks=ranks)
    until(lambda: trains(folder))
    os.rename(folder, fresh("moved", ranks))
    os.rename(other, folder)
    kept = contents(folder)
    r = p.result(30)
    assert r.status == 5 and len(r.messages) == 1 and re.search("not the folder any more|be put in place", r.messages[0]), str(r)
    assert contents(folder) == kept, "it wrote on"


def one_writer(ranks):
    """A file that another process writes is refused, and what it has written stays."""
    output = path(f"written-{ranks}.h5")
    with open(f"{output}.part", "w") as f:
        fcntl.lockf(f, fcntl.LOCK_EX)
        f.write("half")
        f.flush()
        fails(5, "another process is writing", "convert", "--format", "cifar10", "--from", path("cifar"), "--output", output,
              ranks=ranks)
        assert os.path.getsize(f"{output}.part") == 4 and not os.path.exists(output)


def metrics_lost(ranks):
    folder = copy_of_run("metrics-lost", ranks)
    os.remove(os.path.join(folder, "metrics.h5"))
    r = good(*train(folder, "--steps", 3, "--resume"), ranks=ranks)
    assert len(r.warnings) == 1 and "metrics.h5: has 0 of the 2 steps" in r.warnings[0], str(r)


def checkpoints_by_time(ranks):
    folder = fresh("time-kept", ranks)
    fails(75, "after its hours", *train(folder, "--steps", 10**6, "--checkpoint-every", "0.3 s", "--keep-every", 2, "--max-hours",
                                    "0.001"), ranks=ranks)
    found = {}
    for name in os.listdir(folder):
        if name.startswith("checkpoint"):
            with h5py.File(os.path.join(folder, name)) as f:
                found[f.attrs["step"]] = f.attrs["number"], f.attrs["keep"]
    numbers = [found[step] for step in sorted(found)]
    last = numbers[-1][0]
    assert last >= 3 and [n for n, keep in numbers if keep] == list(range(2, last + 1, 2)), numbers
    assert all(keep for _, keep in numbers[:-2]), numbers
    good(*train(folder, "--steps", max(found) + 1, "--checkpoint-every", "2h", "--resume"), ranks=ranks)
    for wrong in "often", "-1", "1.5", "10 parsecs", "":
        fails(2, "checkpoint-every", *train(folder, "--resume", "--checkpoint-every", wrong), ranks=ranks)


def is_daemon(pid):
    with open(f"/proc/{pid}/comm") as f:
        return f.read().strip() == "orted"


def stop_file(ranks):
    """One that is there before the run does not count until it is touched."""
    folder, file = fresh("stop-file", ranks), path(f"stop-{ranks}")
    open(file, "w").close()
    p = Program(*train(folder, "--steps", 10**6, "--checkpoint-every", 2, "--stop-file", file), ranks=ranks)
    until(lambda: trains(folder))
    time.sleep(1.2)
    assert p.process.poll() is None, str(p.result())
    assert ranks > 1 or not any(is_daemon(pid) for pid in p.descendants()), "Open MPI's daemon was started for one rank"
    os.utime(file)
    r = p.result(30)
    assert r.status == 75 and len(r.messages) == 1 and "by its stop file" in r.messages[0], str(r)
    assert len(r.warnings) == 1 and "there already" in r.warnings[0], str(r)
    fails(2, "a stop file is", *train(folder, "--steps", 9, "--resume", "--stop-file", path("cifar")), ranks=ranks)


def suspended(ranks):
    """All ranks stopped for longer than --watch allows one of them, as by a suspended job: it goes on."""
    folder = fresh("suspended", ranks)
    p = Program(*train(folder, "--steps", 10**6, "--checkpoint-every", 2, "--watch", 5), ranks=ranks)
    until(lambda: trains(folder))
    time.sleep(1)
    for number, pause in (signal.SIGSTOP, 7), (signal.SIGCONT, 2):
        for pid in p.ranks():
            os.kill(pid, number)
        time.sleep(pause)
    assert p.process.poll() is None, str(p.result())
    p.process.send_signal(signal.SIGUSR1)
    r = p.result(30)
    assert r.status == 75 and len(r.messages) == 1, str(r)
    fails(2, "--watch", *train(folder, "--watch", 3), ranks=ranks)
    fails(2, "--check", "toy", "--output", path("none.h5"), "--check", "nan", ranks=ranks)


def absurd_rate(ranks):
    """Batch norm keeps the activations finite, and all that is written."""
    folder = fresh("absurd", ranks)
    good(*train(folder, "--steps", 20, "--learning-rate", 1000, "--check", "nan,replica"), ranks=ranks)
    with h5py.File(os.path.join(folder, "metrics.h5")) as f:
        assert all(np.isfinite(f["train"][name]).all() for name in f["train"])
        assert f["train/code_deviation"][-1] > 100 * f["train/code_deviation"][0], "it did not matter"


def out_of_time(ranks):
    folder = fresh("time", ranks)
    fails(75, "after its hours.*--resume", *train(folder, "--steps", 100, "--max-hours", 1e-9), ranks=ranks)
    assert [f for f in os.listdir(folder) if f.startswith("checkpoint-")] == ["checkpoint-1.h5"], os.listdir(folder)
    good(*train(folder, "--steps", 2, "--resume"), ranks=ranks)


def stopped_by(signum, to_ranks, ranks):
    """75, one line, a checkpoint; the same command with --resume goes on."""
    folder = fresh(f"signal-{signum}-{to_ranks}", ranks)
    p = Program(*train(folder, "--steps", 100000, "--checkpoint-every", 0), ranks=ranks)
    until(lambda: os.path.exists(os.path.join(folder, "metrics.h5")))
    time.sleep(0.5)
    for pid in p.ranks() if to_ranks else [p.process.pid]:
        os.kill(pid, signum)
    r = p.result(30)
    assert r.status == 75 and len(r.messages) == 1 and "signal" in r.messages[0], str(r)
    steps = [int(f[11:-3]) for f in os.listdir(folder) if f.startswith("checkpoint-")]
    assert len(steps) == 1 and steps[0] > 0, os.listdir(folder)
    good(*train(folder, "--steps", steps[0] + 2, "--resume", "--checkpoint-every", 0), ranks=ranks)
    with h5py.File(os.path.join(folder, "metrics.h5")) as f:
        assert list(f["train/step"]) == list(range(1, steps[0] + 3))


def signals(ranks):
    stopped_by(signal.SIGUSR1, False, ranks)  # as mpirun passes it on
    stopped_by(signal.SIGTERM, True, ranks)  # as a batch system sends it
    if ranks == 1:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may have been started by nohup
        stopped_by(signal.SIGHUP, True, ranks)  # a connection that is closed
        stopped_by(signal.SIGXCPU, True, ranks)  # a limit of processor time


def catches(pid):
    """Whether the process has begun to catch SIGUSR1."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"SigCgt:\s*(\w+)", f.read())[1], 16) >> (signal.SIGUSR1 - 1) & 1


def signalled_at_start(ranks):
    """Before MPI has begun: it stops as it would later."""
    folder = fresh("start", ranks)
    p = Program(*train(folder, "--steps", 10**6), ranks=ranks)
    until(lambda: len(p.ranks()) >= ranks and all(catches(pid) for pid in p.ranks()[:ranks]))
    for pid in p.ranks()[:ranks]:
        os.kill(pid, signal.SIGUSR1)
    r = p.result(30)
    assert r.status == 75 and len(r.messages) == 1 and "signal" in r.messages[0], str(r)
    assert checkpoints(folder) == ["1"], checkpoints(folder)


def collapsed(ranks):
    """A numerical failure; the last good checkpoint is kept."""
    folder = copy_of_run("collapsed", ranks)
    images = np.full((640, 3, 32, 32), 99, np.uint8)
    for other in range(2):
        images[::40] = pictures(16, 1)[0] if other else 99
        write_data(path(f"grey-{ranks}.h5"), images, np.arange(640) % CLASSES)
        more = "--steps", 4, "--resume", "--other-data"
        fails(4, "[xz]: is the same for most of 16 images", *train(folder, *more, data=path(f"grey-{ranks}.h5")), ranks=ranks)
    good("verify", os.path.join(folder, "checkpoint-2.h5"), os.path.join(folder, "metrics.h5"))


def run_folder():
    """What stands where the run's configuration will is not lost."""
    for name, text in ("own", "objective = jsd\n"), ("link", None):
        folder, other = path(f"folder-{name}"), path("other.ini")
        os.mkdir(folder)
        ini = os.path.join(folder, "config.ini")
        with open(other if name == "link" else ini, "w") as f:
            f.write(text or "batch = 9\n")
        if name == "link":
            os.symlink(other, ini)
        for more in (), ("--resume",):
            fails(2, "no file of a run", *train(folder, "--steps", 1, *more))
            with open(ini) as f:
                assert f.read() == (text or "batch = 9\n"), name
    os.mkdir(path("folder-data"))
    shutil.copy(DATA, os.path.join(path("folder-data"), "metrics.h5"))
    fails(2, "would take its place", *train(path("folder-data"), "--steps", 1, "--resume"))
    good("verify", os.path.join(path("folder-data"), "metrics.h5"))
    good(*train(path("folder-killed"), "--steps", 1))
    for name in os.listdir(path("folder-killed")):  # killed before a step was done
        if name != "config.ini":
            os.remove(os.path.join(path("folder-killed"), name))
    good(*train(path("folder-killed"), "--steps", 1))
    with open(os.path.join(path("folder-killed"), "config.ini"), "r+") as f:  # edited
        text = f.read().replace("dump-config = no\n", "").replace(" = ", "=")
        f.seek(0)
        f.truncate()
        f.write(text)
    good(*train(path("folder-killed"), "--steps", 1, "--resume"))
    with open(os.path.join(path("folder-killed"), "probe.h5"), "w") as f:
        f.write("mine\n")
    fails(2, "would take its place", "probe", "--run", path("folder-killed"), "--probe-epochs", 1)
    fails(5, "File name too long", *train(path(300 * "a"), "--steps", 1))
    os.symlink("nowhere", path("to-nothing"))
    for more in (), ("--dry-run",):
        fails(5, "to-nothing", *train(path("to-nothing"), "--steps", 1, *more))


def run_reads_itself():
    folder = path("own-run")
    os.makedirs(folder)
    shutil.copy(DATA, os.path.join(folder, "metrics.h5"))
    fails(2, "--out.*metrics.h5 is read", *train(folder, "--steps", 1, data=os.path.join(folder, "metrics.h5")))
    fails(2, "--out.*metrics.h5 is read", *train(folder, "--steps", 1, "--resume", data=os.path.join(folder, "metrics.h5")))
    os.symlink(os.path.join("own-run", "metrics.h5"), path("to-metrics.h5"))
    fails(2, "--out.*to-metrics.h5 is read", *train(folder, "--steps", 1, "--resume", data=path("to-metrics.h5")))
    with open(os.path.join(folder, "config.ini"), "w") as f:
        f.write("batch = 16 ; mine\n")
    fails(2, "--out.*config.ini is read", "train", "--data", DATA, "--out", folder, "--config", os.path.join(folder, "config.ini"))
    good("verify", os.path.join(folder, "metrics.h5"))
    shutil.copy(os.path.join(RUN, "config.ini"), path("linked.ini"))
    for name in "metrics.h5", "config.ini":
        os.remove(os.path.join(folder, name))
    os.symlink("../linked.ini", os.path.join(folder, "config.ini"))
    fails(2, "--out.*linked.ini is read", *train(folder, "--steps", 1, "--config", path("linked.ini")))
    assert contents(RUN)["config.ini"] == open(path("linked.ini"), "rb").read()


def main():
    cases = Cases()
    cases.run("prepare", prepare_run)
    for case in (run_there_already, other_options, files_of_another_run, damaged_checkpoint, resume_from_nothing, checkpoints_kept, checkpoints_by_time,
                 left_behind, two_at_once, folder_anew, one_writer, metrics_lost, stop_file, suspended, absurd_rate, out_of_time, signals,
                 signalled_at_start, collapsed):
        for ranks in 1, 3:
            cases.run(f"{case.__name__.replace('_', ' ')} np {ranks}", case, ranks)
    for case in run_folder, run_reads_itself:
        cases.run(case.__name__.replace("_", " "), case)
    cases.end()


if __name__ == "__main__":
    main()
