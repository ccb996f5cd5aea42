"""Where a run starts or goes on: what the chief found in the run directory, which all workers must have alike."""

import dataclasses
import json

from pipeline import state
from pipeline.persistence.run_directory import RunDirectory
from pipeline.workers import arrays
from pipeline.workers.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class Start:
    """The step that a run starts from, and what is known of those before it. The state there is the trainer's alone."""

    step: int
    validated: dict[int, float]  # accuracy on validation, at every step where it was scored

    @classmethod
    def at(cls, step: int, directory: RunDirectory) -> "Start":
        """That step, with what the run directory says of it."""
        return cls(step, {s: a for s, a in directory.validation_accuracy().items() if s <= step})


def start_of_all(cluster: Cluster, own: Start, values: state.Values) -> tuple[Start, state.Values]:
    """The chief's start and state, on every worker, whether or not they share its file system.

    Called by all with their own.
    """
    if cluster.alone:
        return own, values
    told = json.loads(cluster.broadcast(json.dumps([own.step, list(own.validated.items())]).encode()))
    chiefs = arrays.unpack(cluster.broadcast(arrays.pack(values)))
    return Start(told[0], dict(map(tuple, told[1]))), {name: chiefs[name] for name in values}
