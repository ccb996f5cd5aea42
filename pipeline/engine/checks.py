"""The checks of a rechecked step: which shard is computed a second time, and by which tower. Pure functions."""

from typing import NamedTuple

import numpy as np

from pipeline.engine.topology import Topology


class Check(NamedTuple):
    """One shard that two towers compute in one step. Towers are given by their ranks among those of all workers."""

    shard: int
    owner: int  # computes it for the training
    checker: int  # computes it again


def checks(topology: Topology, grad_shards: int, turn: int) -> list[Check]:
    """The checks of one rechecked step, in which each tower takes part at least once, as owner or as checker.

    Every second worker checks the next one, tower by tower. On one worker, every second tower checks the next one; a
    tower alone checks itself. turn: the number of the rechecked step: 0, 1, ... From turn to turn owners and checkers
    change places; every two turns it is another one of a tower's shards.
    """
    workers, towers, total = topology.workers.count, topology.num_towers, topology.total_towers
    each = grad_shards // total
    ring, stride = (workers, towers) if workers > 1 else (towers, 1)
    found = []
    for rank in range(total):
        if (rank // stride + turn) % ring % 2 == 0:
            owner = (rank + stride) % total
            found.append(Check(owner * each + turn // 2 % each, owner, rank))
    return found


def third(topology: Topology, check: Check) -> int:
    """The rank of the tower whose computation decides a check: neither of the two, else the owner once more.

    A tower of another worker than theirs comes first.
    """
    own_workers = {rank // topology.num_towers for rank in (check.owner, check.checker)}
    others = set(range(topology.total_towers)) - {check.owner, check.checker}
    return min(others, key=lambda rank: (rank // topology.num_towers in own_workers, rank), default=check.owner)


def wrong(topology: Topology, check: Check, own: np.ndarray, again: np.ndarray, decisive: np.ndarray) -> set[int]:
    """The rank of the tower that computed other bits than the two other computations; empty if nobody can tell.

    own, again, decisive: fingerprints by the owner, the checker and the third, [tensors] int64; own is not again.
    """
    if check.owner == check.checker or np.array_equal(decisive, again):
        return {check.owner}
    independent = third(topology, check) != check.owner
    return {check.checker} if independent and np.array_equal(decisive, own) else set()
