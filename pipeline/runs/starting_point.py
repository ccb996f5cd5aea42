"""The starting point of a launch: the chief's step, scores and state, sent to every worker."""

import dataclasses
import json
import math

from pipeline.engine import packing, state
from pipeline.monitoring.history import History
from pipeline.workers.cluster import Cluster

Validated = dict[int, dict[str, float]]  # accuracy and loss on validation at every step that was evaluated


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """The step that a launch starts from, and the scores up to it. Only the trainer holds the state."""

    step: int
    validated: Validated

    @classmethod
    def at(cls, step: int, history: History) -> "StartingPoint":
        """The starting point at a step, with the scores in the history up to it."""
        losses = history.validation("loss")
        accuracies = history.validation("accuracy")
        scores = {s: {"accuracy": accuracies[s], "loss": losses.get(s, math.inf)} for s in accuracies if s <= step}
        return cls(step, scores)


def from_chief(cluster: Cluster, own: StartingPoint, values: state.Values) -> tuple[StartingPoint, state.Values]:
    """The chief's starting point and state, on every worker; they need no common file system. All workers call it."""
    if cluster.alone:
        return own, values
    step, validated = json.loads(cluster.broadcast(json.dumps([own.step, list(own.validated.items())]).encode()))
    chiefs = packing.unpack(cluster.broadcast(packing.pack(values)))
    return StartingPoint(step, dict(map(tuple, validated))), {name: chiefs[name] for name in values}
