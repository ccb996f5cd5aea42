"""Which workers a job has and which of them this process is: from flags, else TF_CONFIG, else Slurm's environment.

Also what else the environment says: it is read here alone.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from pipeline.config import Config
from pipeline.exits import UsageError
from pipeline.workers import hostlists

PULSE_FD = "PIPELINE_PULSE_FD"  # the file descriptor to which a supervised worker writes a byte a second
FIRST_PORT, NUM_PORTS = 12000, 20000  # of Slurm's workers: below the ports that Linux gives to outgoing connections
_JOB_STRIDE, _STEP_STRIDE = 131, 17  # neighbouring jobs and steps on one node do not meet


@dataclasses.dataclass(frozen=True)
class Workers:
    """The workers of a job, in the order of their indices, and the one that this process is."""

    addresses: tuple[str, ...] = ()  # HOST:PORT of each; () for one worker that needs no network
    index: int = 0

    @property
    def count(self) -> int:
        """How many workers there are."""
        return max(len(self.addresses), 1)

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes the run directory."""
        return self.index == 0

    @property
    def on_this_host(self) -> tuple[int, ...]:
        """The indices of the workers on this one's host, its own among them."""
        hosts = [host_and_port(address)[0] for address in self.addresses]
        return tuple(k for k, host in enumerate(hosts) if host == hosts[self.index]) or (self.index,)

    def name(self, index: int) -> str:
        """A worker as an error line names it."""
        return f"worker {index} ({self.addresses[index]})"


ALONE = Workers()


def workers(config: Config, environment: Mapping[str, str] = os.environ) -> Workers:
    """The workers that a configuration and the environment name. Raises UsageError."""
    found = _named(config, environment)
    if config.worker_addresses:
        index = found.index if found and found.count > 1 else -1
        found = Workers(tuple(hostlists.hosts(config.worker_addresses)), index)
    found = found or ALONE
    if config.worker_index >= 0:
        found = dataclasses.replace(found, index=config.worker_index)
    return _checked(found, config)


def host_and_port(address: str) -> tuple[str, int]:
    """'h1:9000' -> ('h1', 9000); '[::1]:9000' -> ('::1', 9000). Raises UsageError."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 65536:
        raise UsageError(f"the worker address '{address}' is not HOST:PORT with a port of 1 to 65535; write h1:9000")
    return match[1].strip("[]"), int(match[2])


def _checked(found: Workers, config: Config) -> Workers:
    """The same, with rules kept; one worker alone needs no address. Raises UsageError."""
    for address in found.addresses:
        host_and_port(address)
        if found.addresses.count(address) > 1:
            raise UsageError(f"the worker address {address} is given twice; every worker needs its own host or port")
    if found.index < 0 and found.count > 1:
        raise UsageError(
            f"worker_addresses={config.worker_addresses} names {found.count} workers, and nothing says which of them "
            f"this one is; give --worker_index=0 to {found.count - 1}"
        )
    if found.index >= found.count:
        names = "what names them: --worker_addresses, TF_CONFIG or Slurm"
        raise UsageError(
            f"worker_index={found.index} is out of range of {found.count} worker(s), whose indices are 0 to "
            f"{found.count - 1}; correct it, or {names}"
        )
    return found if found.count > 1 else ALONE


def _named(config: Config, environment: Mapping[str, str]) -> Workers | None:
    """The workers of the environment, if it names any. Flags that say all need nothing of it."""
    if config.worker_addresses and config.worker_index >= 0:
        return None
    if environment.get("TF_CONFIG"):
        return _of_tf_config(environment["TF_CONFIG"])
    if _is_slurm_task(environment):
        return _of_slurm(environment)
    return None


def _of_tf_config(text: str) -> Workers:
    """The workers of a TF_CONFIG; a chief counts as worker 0. Raises UsageError."""
    wanted = '{"cluster": {"worker": ["h1:9000", "h2:9000"]}, "task": {"type": "worker", "index": 0}}'
    try:
        said = json.loads(text)
        cluster, task = said["cluster"], said.get("task", {})
        lists = {role: _strings(cluster.get(role, [])) for role in ("chief", "worker")}
        role, index = task.get("type", "worker"), int(task.get("index", -1))
        strangers = sorted({*cluster, role} - set(lists))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"TF_CONFIG={text} does not name the workers; it should be like {wanted}") from None
    if strangers:
        raise UsageError(f"TF_CONFIG has the role '{strangers[0]}', which this trainer lacks; name workers alone")
    if not lists["chief"] + lists["worker"]:
        raise UsageError(f"TF_CONFIG={text} has no cluster.worker; it should be like {wanted}")
    if index >= len(lists[role]):
        raise UsageError(
            f"TF_CONFIG says task {role} {index}, but its cluster has {len(lists[role])} of them; correct task.index"
        )
    return Workers(tuple(lists["chief"] + lists["worker"]), index + len(lists["chief"]) * (role == "worker"))


def _strings(value: Any) -> list[str]:
    """A list of strings. Raises TypeError."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return value


def _is_slurm_task(environment: Mapping[str, str]) -> bool:
    """Whether srun started this process beside others; a batch script or a shell of salloc is one worker alone."""
    return "SLURM_PROCID" in environment and environment.get("SLURM_STEP_NUM_TASKS", "1") not in ("", "1")


def _of_slurm(environment: Mapping[str, str]) -> Workers:
    """The tasks of this job step, in the order of their numbers. Raises UsageError.

    Slurm lists nodes and counts in one order, and fills them by blocks unless SLURM_DISTRIBUTION says otherwise.
    """
    try:
        job, step, index, num_tasks = (
            int(environment[name]) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
        )
        nodes = hostlists.hosts(environment["SLURM_STEP_NODELIST"])
        each = hostlists.counts(environment.get("SLURM_STEP_TASKS_PER_NODE") or environment["SLURM_TASKS_PER_NODE"])
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"Slurm's environment lacks or garbles a variable ({error}); start the workers with srun, or give "
            "--worker_addresses and --worker_index"
        ) from None
    cyclic = environment.get("SLURM_DISTRIBUTION", "").startswith("cyclic")
    tasks = [(rank, node) for node, count in zip(nodes, each, strict=False) for rank in range(count)]
    tasks = sorted(tasks, key=lambda task: task[0]) if cyclic else tasks
    here = environment.get("SLURMD_NODENAME")
    if (len(nodes), len(tasks)) != (len(each), num_tasks) or here not in (None, *[n for _, n in tasks[index:][:1]]):
        raise UsageError(
            f"Slurm's tasks do not lie as its lists say ({environment['SLURM_STEP_NODELIST']}, {each}, {num_tasks} "
            f"tasks, task {index} on {here}); start them with srun --distribution=block"
        )
    return Workers(tuple(f"{node}:{slurm_port(job, step, rank)}" for rank, node in tasks), index)


def slurm_port(job: int, step: int, local_rank: int) -> int:
    """The port of a task: the same for all who ask, and another for every task of a node."""
    return FIRST_PORT + (job * _JOB_STRIDE + step * _STEP_STRIDE + local_rank) % NUM_PORTS


def gpus(environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> list[str]:
    """The GPUs that a process may use, as CUDA_VISIBLE_DEVICES names them; TensorFlow is not asked."""
    there = [path.name for path in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not there:
        return [str(index) for index in range(len(there))]
    named = [name.strip() for name in visible.split(",")]
    return named[: next((k for k, name in enumerate(named) if name in ("", "-1")), len(named))]


def share_of_gpus(found: Workers, visible: list[str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """Of the visible GPUs, those of this worker: all, or where workers share the host, equal parts by local rank.

    Slurm may have divided them already. Raises UsageError if they do not divide.
    """
    local = found.on_this_host
    divided = any(environment.get(name) for name in ("SLURM_GPUS_PER_TASK", "SLURM_TRES_PER_TASK", "SLURM_GPU_BIND"))
    if len(local) == 1 or (divided and _is_slurm_task(environment)):
        return visible
    if len(visible) % len(local):
        raise UsageError(
            f"{len(visible)} GPUs do not divide over the {len(local)} workers of this host; start as many workers as "
            "divide them, or choose some with CUDA_VISIBLE_DEVICES (-1: none)"
        )
    each, rank = len(visible) // len(local), local.index(found.index)
    return visible[rank * each : (rank + 1) * each]


def for_child(**changes: str) -> dict[str, str]:
    """This environment with some variables changed, for a process to start."""
    return {**os.environ, **changes}


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal, and NO_COLOR (no-color.org) is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


@dataclasses.dataclass(frozen=True)
class Life:
    """One start of a job that a scheduler may start again; a later one takes the run over from an earlier one."""

    job: str
    number: int


def life() -> Life | None:
    """The scheduler's name for this start, if there is one."""
    job, restarts = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT", "0")
    return Life(f"slurm {job}", int(restarts)) if job and restarts.isdecimal() else None


def pulse_fd() -> int | None:
    """The pipe to which this process gives signs of life, if whoever started it asked for them."""
    value = os.environ.get(PULSE_FD, "")
    return int(value) if value.isdecimal() else None


def array_task() -> int | None:
    """Which task of a Slurm array this process is, from 0 on; None if of none. Raises UsageError."""
    text = os.environ.get("SLURM_ARRAY_TASK_ID")
    if text is not None and not text.isdecimal():
        raise UsageError(f"SLURM_ARRAY_TASK_ID={text} is not a number; start the array with sbatch --array=0-N")
    return None if text is None else int(text)
