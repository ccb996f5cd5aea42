"""A real Slurm of several nodes on this machine, that lives in one directory and ends with the `with` it is made in.

Every node is a host with a network of its own, named by its address, so that what runs there reaches the others by
their nodes' names. The controller and all commands run on the first host.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cluster import hosts
from cluster.hosts import Hosts

TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
DEADLINE_S = 60
CONF = """\
ClusterName=test
SlurmctldHost={host}({controller})
SlurmctldPort=6817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool.%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
SlurmdTimeout=10
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr={name} Port=6818 CPUs=4 RealMemory=8000\n"


def missing() -> str:
    """Why there can be no Slurm here; '' if there can."""
    absent = [tool for tool in TOOLS if not _path(tool)]
    return (
        f"{', '.join(absent)} not installed (Debian: slurmctld slurmd slurm-client munge)"
        if absent
        else hosts.missing()
    )


def _path(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Slurm:
    """A cluster that runs."""

    def __init__(self, directory: Path, hosts: Hosts):
        self.directory, self.hosts = directory, hosts
        self.nodes = hosts.addresses[1:]
        self.environment = {**os.environ, "SLURM_CONF": str(directory / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen] = {}

    def start(self, host: int, name: str, *command: str) -> None:
        """Starts a daemon on a host, in the foreground mode of its own."""
        with (self.directory / f"{name}.out").open("w") as out:
            self.daemons[name] = subprocess.Popen(
                [*self.hosts[host], _path(command[0]), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    def run(self, *command: str, **options) -> str:
        """What a command of Slurm's prints."""
        options = {"check": True, "timeout": DEADLINE_S, "env": self.environment} | options
        return subprocess.run([*self.hosts[0], *command], text=True, stdout=subprocess.PIPE, **options).stdout

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says: JobState, Restarts, ExitCode, …"""
        return dict(re.findall(r"(\w+)=(\S*)", self.run("scontrol", "show", "job", number)))

    def until(self, what: str, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Waits for a condition."""
        give_up = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < give_up, f"never: {what}\n{self.run('scontrol', 'show', 'job')}"
            time.sleep(0.4)

    def is_up(self) -> bool:
        """Whether all nodes wait for jobs."""
        with contextlib.suppress(subprocess.CalledProcessError):
            states = self.run(
                "sinfo", "--noheader", "--Node", "--partition=low", "--format=%T", stderr=subprocess.DEVNULL
            ).split()
            return states == ["idle"] * len(self.nodes)
        return False

    def end(self) -> None:
        """Ends all jobs and daemons, and whatever a job left."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.run("scancel", "--full", "--signal=KILL", "--user=root", timeout=10)
        for name in reversed(self.daemons):
            self.daemons[name].terminate()
        for daemon in self.daemons.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            daemon.kill()
            daemon.wait()
        for process in self._left_over():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _left_over(self) -> list[int]:
        """Processes of this cluster's jobs and steps: those that have its configuration in their environment."""
        mark = f"SLURM_CONF={self.directory / 'slurm.conf'}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parts[2]))
        return found


@contextlib.contextmanager
def slurm(num_nodes: int = 2, further: str = "") -> Iterator[Slurm]:
    """A cluster with the partitions low, whose jobs may be preempted, and high. further: lines of slurm.conf."""
    directory = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: there is a limit for the paths of sockets
    with hosts.hosts(1 + num_nodes) as network:
        cluster = Slurm(directory, network)
        try:
            _configure(cluster, further)
            kinds = ("key-file", "socket", "pid-file", "seed-file", "log-file")
            files = [f"--{kind}={directory}/munge.{kind}" for kind in kinds]
            cluster.start(0, "munged", "munged", "--foreground", "--force", *files)
            cluster.until("munge", (directory / "munge.socket").exists)
            cluster.start(0, "slurmctld", "slurmctld", "-D")
            for k, node in enumerate(cluster.nodes, start=1):
                cluster.start(k, node, "slurmd", "-D", "-N", node)
            cluster.until("all nodes up", cluster.is_up)
            yield cluster
        finally:
            cluster.end()
            shutil.rmtree(directory, ignore_errors=True)


def _configure(cluster: Slurm, further: str) -> None:
    directory, host = cluster.directory, socket.gethostname().partition(".")[0]
    conf = CONF.format(host=host, controller=cluster.hosts.addresses[0], directory=directory)
    (directory / "state").mkdir()
    for node in cluster.nodes:
        (directory / f"spool.{node}").mkdir()
    (directory / "munge.key-file").touch(mode=0o600)
    (directory / "munge.key-file").write_bytes(os.urandom(1024))
    nodes = [NODE.format(name=node, host=host) for node in cluster.nodes]
    (directory / "slurm.conf").write_text("".join([*nodes, conf, further]))
    # Of this plugin's kinds (22.05) the first does nothing; without one it looks for cgroups that may not be there.
    (directory / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
