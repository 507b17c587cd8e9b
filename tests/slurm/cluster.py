"""A private SLURM on this machine, for as long as a test lasts: two nodes, own configuration, keys, ports and sockets.

All that it starts, jobs included, carries a mark in its environment. A guard, a process apart, waits for the end of the
test, whatever brings it about, SIGKILL too; it then kills what carries the mark and deletes the files. Nothing of the
system's SLURM, if there is one, is read or changed. Wants root; nothing of systemd, cgroups or a database."""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

CPUS = 8  # that each node claims to have
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "sinfo", "srun", "unshare")
MARK = "MIGE_SLURM"
os.environ["PATH"] += ":/usr/sbin:/sbin"

CONF = """
ClusterName=mige{port}
SlurmctldHost=control(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
{listen}

# cred_expire is also how long a job that is queued again waits; SLURM's own value is two minutes.
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket,cred_expire=5
CredType=cred/munge

# %n is the node's name: PMIx wants a TmpFS for each.
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool.%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.%n.pid
TmpFS={dir}/tmp.%n
PlugStackConfig={dir}/plugstack.conf
SlurmctldLogFile={dir}/log/slurmctld
SlurmdLogFile={dir}/log/slurmd.%n

# linuxproc knows mpirun's ranks for the job's, as pgid would not.
ProctrackType=proctrack/linuxproc
Epilog={dir}/epilog
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
KillWait=10
MinJobAge=86400

# A job of partition urgent takes the place of one of batch, which has some time to end and is then queued again.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE

SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2

{nodes}
PartitionName=batch Nodes=ALL Default=YES PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""

# What is left of a job on a node is ended by cgroups on a real one.
EPILOG = """#!/bin/sh
for f in $(grep -lszxF "SLURM_JOB_ID=$SLURM_JOB_ID" /proc/[0-9]*/environ); do
    p=${f#/proc/} p=${p%/environ}
    [ "$p" != $$ ] && grep -qszxF "SLURMD_NODENAME=$SLURMD_NODENAME" "$f" && grep -qszxF "MARK" "$f" && kill -9 "$p"
done
exit 0
"""


class Absent(Exception):
    """There is no SLURM to start."""


def marked(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark.encode() in f.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def destroy(mark, folders):
    while left := marked(mark):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def guard(mark, folders):
    """Process number, and a pipe: what the guard waits for is its end."""
    end, mine = os.pipe()
    pid = os.fork()
    if pid:
        os.close(end)
        return pid, mine
    os.setsid()
    for s in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(s, signal.SIG_IGN)
    os.close(mine)
    os.read(end, 1)
    destroy(mark, folders)
    os._exit(0)


def free_ports(n):
    """In a row, below those that the kernel hands out."""
    while True:
        first = random.randrange(20000, 32000)
        sockets = [socket.socket() for _ in range(n)]
        try:
            for i, s in enumerate(sockets):
                s.bind(("127.0.0.1", first + i))
            return first
        except OSError:
            pass
        finally:
            for s in sockets:
                s.close()


class Cluster:
    def __init__(self):
        missing = [p for p in PROGRAMS if not shutil.which(p)]
        if missing:
            raise Absent(f"no {', '.join(missing)} here (packages slurm-wlm, munge)")
        self.dir = tempfile.mkdtemp(prefix="mige-slurm.", dir="/tmp")  # short: it holds unix sockets
        self.mark = f"{MARK}={self.dir}"
        self.shm = tempfile.mkdtemp(prefix="mige-slurm.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.guard, self.pipe = guard(self.mark, (self.dir, self.shm))
        # Two nodes with one host name would mix up their ranks' shared memory: each has its own, where that is allowed.
        self.write("hosts", "127.0.0.1 localhost control node1 node2\n")
        self.apart = subprocess.run(self.as_host("node1", "true"), capture_output=True).returncode == 0
        self.nodes = ["node1", "node2"] if self.apart else ["node1"]
        self.env = self.surroundings()
        self.daemons = {}

    def write(self, name, text, mode=0o644):
        path = pathlib.Path(self.dir, name)
        path.write_text(text)
        path.chmod(mode)

    def surroundings(self):
        """For jobs and for the commands that start them. The nodes claim more cores than there are, so that ranks which
        wait must yield, and not be bound. Shared memory lies where it is found again."""
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("SLURM_", "SBATCH_", "SRUN_", "SINFO_", "PMIX_", "PMI_"))}
        name, value = self.mark.split("=")
        return {**env, name: value, "SLURM_CONF": f"{self.dir}/slurm.conf", "OMPI_ALLOW_RUN_AS_ROOT": "1",
                "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
                "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self,vader,tcp",
                "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
                "OMPI_MCA_btl_vader_single_copy_mechanism": "none", "OMPI_MCA_odls_base_sigkill_timeout": "4",
                "OMPI_MCA_btl_vader_backing_directory": self.shm, "OMPI_MCA_osc_sm_backing_directory": self.shm,
                "OMPI_MCA_osc_rdma_backing_directory": self.shm, "OMPI_MCA_orte_tmpdir_base": f"{self.dir}/tmp"}

    def as_host(self, host, *command):
        """The command, where the host has this name and all names are this machine's."""
        script = 'hostname "$1" && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"'
        return ["unshare", "--uts", "--mount", "--propagation", "private", "sh", "-c", script, "sh", host,
                f"{self.dir}/hosts", *command]

    def daemon(self, name, host, *command):
        with open(f"{self.dir}/log/{name}.out", "wb") as log:
            self.daemons[name] = subprocess.Popen(self.as_host(host, *command) if self.apart else command, env=self.env,
                                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                                                  start_new_session=True)

    def configure(self):
        os.chmod(self.dir, 0o711)  # munged wants its socket to be reachable
        for name in ["munge", "state", "log", "tmp", *(f"{k}.{n}" for n in self.nodes for k in ("spool", "tmp"))]:
            os.makedirs(f"{self.dir}/{name}", exist_ok=True)
        pathlib.Path(self.dir, "munge/key").write_bytes(os.urandom(128))
        os.chmod(f"{self.dir}/munge/key", 0o600)
        port = free_ports(1 + len(self.nodes))
        nodes = [f"NodeName={n} NodeHostname={n} NodeAddr=127.0.0.1 Port={port + 1 + i} CPUs={CPUS} Boards=1 "
                 f"SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1" for i, n in enumerate(self.nodes)]
        # Daemons listen where their host's name is, which is 127.0.0.1 if it has been given to them.
        listen = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if self.apart else ""
        self.write("slurm.conf", CONF.format(dir=self.dir, port=port, listen=listen, nodes="\n".join(nodes)))
        self.write("epilog", EPILOG.replace("MARK", self.mark), 0o755)
        self.write("cgroup.conf", "CgroupPlugin=cgroup/v1\n")  # is loaded though unused; v1 then touches nothing
        self.write("plugstack.conf", "")

    def start(self):
        for _ in range(3):  # once more if someone has taken the ports meanwhile
            self.configure()
            if self.start_daemons():
                return
            logs = self.logs()
            if "Address already in use" not in logs:
                break
            destroy(self.mark, ())
            shutil.rmtree(f"{self.dir}/state")
        raise RuntimeError("SLURM does not start: " + " | ".join(logs.splitlines()[-12:]))

    def start_daemons(self):
        munge = f"{self.dir}/munge"
        self.daemon("munged", "control", "munged", "--foreground", "--force", "--num-threads=2",
                    f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={munge}/pid",
                    f"--log-file={self.dir}/log/munged", f"--seed-file={munge}/seed")
        if not self.wait(lambda: os.path.exists(f"{munge}/socket")):
            return False
        self.daemon("slurmctld", "control", "slurmctld", "-D")
        for n in self.nodes:
            self.daemon(f"slurmd.{n}", n, "slurmd", "-D", "-N", n)
        return self.wait(self.idle)

    def wait(self, what, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end and all(d.poll() is None for d in self.daemons.values()):
            if what():
                return True
            time.sleep(0.1)
        return False

    def idle(self):
        r = self.command("sinfo", "-h", "-N", "-p", "batch", "-o", "%T")
        return r.stdout.split() == ["idle"] * len(self.nodes)

    def logs(self):
        return "\n".join(p.read_text(errors="replace") for p in sorted(pathlib.Path(self.dir, "log").iterdir()))

    def command(self, *args, env=None, cwd=None):
        return subprocess.run(args, env={**self.env, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)

    def end(self):
        """Waits for the guard."""
        os.close(self.pipe)
        os.waitpid(self.guard, 0)
        for d in self.daemons.values():
            d.poll()
