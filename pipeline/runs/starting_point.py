"""The starting point of a launch: the chief's step, scores and state, sent to every worker."""

import dataclasses
import json
from collections.abc import Sequence

from pipeline.engine import packing, state
from pipeline.engine.plan import Rollback
from pipeline.monitoring.history import History, Validations
from pipeline.workers.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """The step that a launch starts from, and the scores up to it. Only the trainer holds the state."""

    step: int
    validated: Validations
    rollbacks: tuple[Rollback, ...]  # of the run until then

    @classmethod
    def at(cls, step: int, history: History, rollbacks: Sequence[Sequence[int]] = ()) -> "StartingPoint":
        """The starting point at a step, with the scores in the history up to it.

        rollbacks: those of the step's manifest. Rollbacks to the step itself are in no manifest before the next one;
        the history has them. Without it they would come again, since the same steps would diverge.
        """
        before = [Rollback(*fields) for fields in rollbacks]
        to_step = [r for r in before if r.step >= step]
        told = [Rollback(step, event["diverged"]) for event in history.rollbacks if event["step"] == step]
        all_of_them = [r for r in before if r.step < step] + max(to_step, told, key=len)
        return cls(step, history.validations(step), tuple(all_of_them))


def from_chief(cluster: Cluster, own: StartingPoint, values: state.Values) -> tuple[StartingPoint, state.Values]:
    """The chief's starting point and state, on every worker; they need no common file system. All workers call it."""
    if cluster.alone:
        return own, values
    told = json.dumps([own.step, list(own.validated.items()), own.rollbacks]).encode()
    step, validated, rollbacks = json.loads(cluster.broadcast(told))
    chiefs = packing.unpack(cluster.broadcast(packing.pack(values)))
    start = StartingPoint(step, dict(map(tuple, validated)), tuple(Rollback(*fields) for fields in rollbacks))
    return start, {name: chiefs[name] for name in values}
