"""Where a run starts or goes on: the chief's step, scores and state, on every worker."""

import dataclasses
import json

from pipeline.engine import packing, state
from pipeline.monitoring.history import History
from pipeline.workers.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """The step that a run starts from, and the scores of steps before it. The state there is the trainer's alone."""

    step: int
    validated: dict[int, float]  # accuracy on validation, at every step where it was scored

    @classmethod
    def at(cls, step: int, history: History) -> "StartingPoint":
        """The start at a step, with the scores that the history knows up to it."""
        return cls(step, {s: a for s, a in history.validation_accuracy.items() if s <= step})


def of_chief(cluster: Cluster, own: StartingPoint, values: state.Values) -> tuple[StartingPoint, state.Values]:
    """The chief's start and state, on every worker, whether or not they share its file system. All call it alike."""
    if cluster.alone:
        return own, values
    told = json.loads(cluster.broadcast(json.dumps([own.step, list(own.validated.items())]).encode()))
    chiefs = packing.unpack(cluster.broadcast(packing.pack(values)))
    return StartingPoint(told[0], dict(map(tuple, told[1]))), {name: chiefs[name] for name in values}
