"""Where a run starts or goes on: what the chief found in the run directory, which all workers must have alike."""

import dataclasses
import json

from pipeline.engine import state
from pipeline.runs.run_directory import RunDirectory
from pipeline.engine import packing
from pipeline.workers.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """The step that a run starts from, and what is known of those before it. The state there is the trainer's alone."""

    step: int
    validated: dict[int, float]  # accuracy on validation, at every step where it was scored

    @classmethod
    def at(cls, step: int, directory: RunDirectory) -> "StartingPoint":
        """That step, with what the run directory says of it."""
        return cls(step, {s: a for s, a in directory.validation_accuracy().items() if s <= step})


def shared_start(cluster: Cluster, own: StartingPoint, values: state.Values) -> tuple[StartingPoint, state.Values]:
    """The chief's start and state, on every worker, whether or not they share its file system.

    Called by all with their own.
    """
    if cluster.alone:
        return own, values
    told = json.loads(cluster.broadcast(json.dumps([own.step, list(own.validated.items())]).encode()))
    chiefs = packing.unpack(cluster.broadcast(packing.pack(values)))
    return StartingPoint(told[0], dict(map(tuple, told[1]))), {name: chiefs[name] for name in values}
