"""Which workers a job has, and which of them this process is."""

import dataclasses
import os

from pipeline.config import Config


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

    def name(self, index: int) -> str:
        """A worker as an error line names it."""
        return f"worker {index} ({self.addresses[index]})"


ALONE = Workers()


def workers(config: Config) -> Workers:
    """The workers that a configuration and the environment name. Raises UsageError."""
    if not config.worker_addresses:
        return ALONE
    return Workers(tuple(config.worker_addresses.split(",")), config.worker_index)


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
    value = os.environ.get("PIPELINE_PULSE_FD", "")
    return int(value) if value.isdecimal() else None
