"""The starting point of a launch: the chief's step, scores and state, sent to every worker."""

import dataclasses
import json

from pipeline.engine import packing, state
from pipeline.monitoring.history import History
from pipeline.workers.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """The step that a launch starts from, and the scores up to it. Only the trainer holds the state."""

    step: int
    validated: dict[int, float]  # the accuracy on validation at every evaluated step

    @classmethod
    def at(cls, step: int, history: History) -> "StartingPoint":
        """The starting point at a step, with the scores in the history up to it."""
        return cls(step, {s: a for s, a in history.validation_accuracy.items() if s <= step})


def from_chief(cluster: Cluster, own: StartingPoint, values: state.Values) -> tuple[StartingPoint, state.Values]:
    """The chief's starting point and state, on every worker; they need no common file system. All workers call it."""
    if cluster.alone:
        return own, values
    step, validated = json.loads(cluster.broadcast(json.dumps([own.step, list(own.validated.items())]).encode()))
    chiefs = packing.unpack(cluster.broadcast(packing.pack(values)))
    return StartingPoint(step, dict(map(tuple, validated))), {name: chiefs[name] for name in values}
