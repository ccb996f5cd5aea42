"""The record of a run in its directory: its configuration and its history. Reading it needs no TensorFlow."""

import dataclasses
from pathlib import Path

from pipeline.config import Config
from pipeline.monitoring.history import History
from pipeline.runs.run_directory import RunDirectory


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run at the moment when its directory was read. The run may still be going on."""

    directory: RunDirectory
    config: Config
    history: History

    @classmethod
    def read(cls, path: Path) -> "RunRecord | None":
        """The record of the run in a directory; None if there is no run. Raises StorageError if it cannot be read."""
        directory = RunDirectory(path)
        config = directory.recorded()
        return None if config is None else cls(directory, config, directory.history())

    @property
    def status(self) -> str:
        """FINISHED, DIVERGED, CORRUPTED, PREEMPTED or UNFINISHED, see `History.status`."""
        return self.history.status(self.config.steps, self.config.early_stop)
