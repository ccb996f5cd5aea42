"""Slurm's environment of a process: the tasks of its step, its array task, how often the job was requeued."""

import dataclasses
from collections.abc import Mapping

from pipeline.engine.topology import Workers
from pipeline.errors import UsageError
from pipeline.process import environment
from pipeline.workers import hostlists, ports
from pipeline.workers.calls import MOST_CANDIDATES

_JOB_STRIDE, _STEP_STRIDE = 131, 17  # neighbouring jobs and steps on one node do not meet


def is_task(variables: Mapping[str, str]) -> bool:
    """Whether srun started this process beside others; a batch script or a shell of salloc is one worker alone."""
    return "SLURM_PROCID" in variables and variables.get("SLURM_STEP_NUM_TASKS", "1") not in ("", "1")


def workers(variables: Mapping[str, str]) -> Workers:
    """The tasks of this job step, in the order of their numbers. Raises UsageError.

    Slurm lists nodes and counts in one order, and fills them by blocks unless SLURM_DISTRIBUTION says otherwise.
    """
    try:
        job, step, index, num_tasks = (
            int(variables[name]) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
        )
        nodes = hostlists.hosts(variables["SLURM_STEP_NODELIST"])
        each = hostlists.counts(variables.get("SLURM_STEP_TASKS_PER_NODE") or variables["SLURM_TASKS_PER_NODE"])
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"Slurm's environment lacks or garbles a variable ({error}); start the workers with srun, or give "
            "--worker_addresses and --worker_index"
        ) from None
    cyclic = variables.get("SLURM_DISTRIBUTION", "").startswith("cyclic")
    tasks = [(rank, node) for node, count in zip(nodes, each, strict=False) for rank in range(count)]
    tasks = sorted(tasks, key=lambda task: task[0]) if cyclic else tasks
    here = variables.get("SLURMD_NODENAME")
    if (len(nodes), len(tasks)) != (len(each), num_tasks) or here not in (None, *[n for _, n in tasks[index:][:1]]):
        raise UsageError(
            f"Slurm's tasks do not lie as its lists say ({variables['SLURM_STEP_NODELIST']}, {each}, {num_tasks} "
            f"tasks, task {index} on {here}); start them with srun --distribution=block"
        )
    return Workers(tuple(f"{node}:{port_of(job, step, rank)}" for rank, node in tasks), index)


def is_array_worker(variables: Mapping[str, str]) -> bool:
    """Whether this process is the only one of its task of an array."""
    return "SLURM_ARRAY_TASK_ID" in variables and not is_task(variables)


def array_workers(variables: Mapping[str, str]) -> Workers:
    """The tasks of an array, each a worker of one job that shrinks and grows. Raises UsageError.

    Each has a node of its own choice, so only the address of this one is known.
    """
    try:
        job, index, first, last, step = (
            int(variables[f"SLURM_ARRAY_{name}"]) for name in ("JOB_ID", "TASK_ID", "TASK_MIN", "TASK_MAX", "TASK_STEP")
        )
        node = variables["SLURMD_NODENAME"]
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"Slurm's environment of an array lacks or garbles a variable ({error}); give --worker_addresses and "
            "--worker_index"
        ) from None
    if (first, step) != (0, 1) or not 0 <= index <= last < MOST_CANDIDATES:
        raise UsageError(
            f"the array has the tasks {first} to {last} in steps of {step}; workers are numbered from 0, one by one: "
            "start 4 of them with sbatch --array=0-3"
        )
    addresses = [""] * (last + 1)
    addresses[index] = f"{node}:{port_of(job, 0, index)}"
    return Workers(tuple(addresses), index, learned=True)


def port_of(job: int, step: int, local_rank: int) -> int:
    """The port of a task: the same for all who ask, and another for every task of a node."""
    return ports.RANGE.start + (job * _JOB_STRIDE + step * _STEP_STRIDE + local_rank) % len(ports.RANGE)


@dataclasses.dataclass(frozen=True)
class JobAttempt:
    """One start of a job that a scheduler may start again; a later one takes the run over from an earlier one."""

    job: str
    number: int


def job_attempt() -> JobAttempt | None:
    """The scheduler's name for this start, if there is one."""
    job, restarts = environment.variables().get("SLURM_JOB_ID"), environment.variables().get("SLURM_RESTART_COUNT", "0")
    return JobAttempt(f"slurm {job}", int(restarts)) if job and restarts.isdecimal() else None


def array_task() -> int | None:
    """Which task of a Slurm array this process is, from 0 on; None if of none. Raises UsageError."""
    text = environment.variables().get("SLURM_ARRAY_TASK_ID")
    if text is not None and not text.isdecimal():
        raise UsageError(f"SLURM_ARRAY_TASK_ID={text} is not a number; start the array with sbatch --array=0-N")
    return None if text is None else int(text)
