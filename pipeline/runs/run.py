"""A run that is open: the one object that goes down from the start to the loop."""

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
    """One process's part of a run, made once by `opening.opened`. Nothing here is settled again later."""

    config: Config  # with every value that is chosen at a first start
    topology: Topology
    directory: RunDirectory
    checkpoints: Checkpoints
    journal: Journal  # its `history` is what the run has told so far
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
        """Counts the time inside to a phase, and lets the watchdog know of it."""
        self.job.phases.enter(name, step)
        with self.clock.timing(name):
            yield
