"""Where a run starts or goes on: what the chief found in the run directory, which all workers must have alike."""

import dataclasses
import json

from pipeline import state
from pipeline.persistence.checkpoint import Restored
from pipeline.persistence.run_directory import RunDirectory
from pipeline.workers import arrays
from pipeline.workers.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class Start:
    """The step that a run starts from, and what it holds there."""

    step: int
    values: state.Values
    validated: dict[int, float]  # accuracy on validation, at every step where it was scored

    @classmethod
    def at(cls, restored: Restored | None, initial: state.Values, directory: RunDirectory) -> "Start":
        """The restored checkpoint's step, or 0 with the initial values."""
        step, values = (restored.manifest.step, restored.values) if restored else (0, initial)
        return cls(step, values, {s: a for s, a in directory.validation_accuracy().items() if s <= step})


def start_of_all(cluster: Cluster, own: Start) -> Start:
    """The chief's start, on every worker, whether or not they share its file system. Called by all with their own."""
    if cluster.alone:
        return own
    told = json.loads(cluster.broadcast(json.dumps([own.step, list(own.validated.items())]).encode()))
    values = arrays.unpack(cluster.broadcast(arrays.pack(own.values)))
    return Start(told[0], {name: values[name] for name in own.values}, dict(map(tuple, told[1])))
