"""An open run: the one object that is passed down from the start to the loop."""

import contextlib
import dataclasses
from collections.abc import Iterator

from pipeline.config import Config
from pipeline.engine.assembly import Assembly
from pipeline.engine.topology import Topology
from pipeline.engine.trainer import Trainer
from pipeline.monitoring.clock import Clock
from pipeline.monitoring.journal import Journal
from pipeline.process.preemption import Preemption
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.starting_point import StartingPoint
from pipeline.workers.cluster import Cluster
from pipeline.workers.job import Job


@dataclasses.dataclass(frozen=True)
class Run:
    """One process's part of a run, made once by `opening.opened`. All its values are final."""

    config: Config  # settled: no value is left to be chosen
    topology: Topology
    directory: RunDirectory
    checkpoints: Checkpoints
    journal: Journal  # with the run's history
    assembly: Assembly
    trainer: Trainer  # holds the state
    cluster: Cluster
    job: Job
    stop: Preemption
    start: StartingPoint
    restarts: int
    clock: Clock = dataclasses.field(default_factory=Clock)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run directory."""
        return self.topology.workers.is_chief

    @contextlib.contextmanager
    def phase(self, name: str, step: int) -> Iterator[None]:
        """Adds the time inside to a phase, and reports the phase to the watchdog."""
        self.job.phases.enter(name, step)
        with self.clock.timing(name):
            yield
