"""Which workers a job has, and which of them this process is."""

import dataclasses
import os

from pipeline.config import Config
from pipeline.exits import UsageError


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


def workers(config: Config) -> Workers:
    """The workers that a configuration and the environment name. Raises UsageError."""
    if not config.worker_addresses:
        return Workers()
    return Workers(tuple(config.worker_addresses.split(",")), config.worker_index)


def array_task() -> int | None:
    """Which task of a Slurm array this process is, from 0 on; None if of none. Raises UsageError."""
    text = os.environ.get("SLURM_ARRAY_TASK_ID")
    if text is not None and not text.isdecimal():
        raise UsageError(f"SLURM_ARRAY_TASK_ID={text} is not a number; start the array with sbatch --array=0-N")
    return None if text is None else int(text)
