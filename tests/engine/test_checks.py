"""Which towers check which, and who is wrong, as tables."""

import numpy as np
import pytest
from small_run import topology

from pipeline.engine.checks import Check, checks, third, wrong
from pipeline.engine.topology import Topology, Workers

RIGHT, WRONG, OTHER = np.array([1, 2]), np.array([1, 3]), np.array([1, 4])


def several(workers: int, towers: int) -> Topology:
    addresses = tuple(f"host-{index}:9000" for index in range(workers))
    return Topology(topology(towers).towers, Workers(addresses if workers > 1 else (), 0))


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("towers", [1, 2, 3, 5])
def test_each_tower_takes_part_each_time_and_each_shard_is_checked_in_time(workers, towers):
    job, each = several(workers, towers), 4
    total, seen = workers * towers, set()
    for turn in range(6 * each * total):
        now = checks(job, total * each, turn)
        assert {rank for check in now for rank in (check.owner, check.checker)} == set(range(total))
        assert len({check.checker for check in now}) == len({check.owner for check in now}) == len(now)
        assert len(now) <= (total + towers) / 2  # half of the towers, or of the workers and one more
        for check in now:
            assert check.shard // each == check.owner
            assert total == 1 or check.owner != check.checker
            assert workers == 1 or check.owner // towers != check.checker // towers
            seen.add(check.shard)
    assert seen == set(range(total * each))


def test_a_third_tower_is_of_a_third_worker_if_there_is_one():
    assert third(several(3, 2), Check(0, owner=0, checker=4)) == 2
    assert third(several(2, 2), Check(0, owner=0, checker=2)) == 1
    assert third(several(1, 3), Check(0, owner=2, checker=1)) == 0
    assert third(several(2, 1), Check(0, owner=1, checker=0)) == 1  # once more
    assert third(several(1, 1), Check(0, owner=0, checker=0)) == 0


@pytest.mark.parametrize(
    ("workers", "owner", "checker", "bits", "rank"),
    [
        (3, 0, 1, (WRONG, RIGHT, RIGHT), {0}),
        (3, 0, 1, (RIGHT, WRONG, RIGHT), {1}),
        (3, 0, 1, (RIGHT, WRONG, OTHER), set()),
        (2, 0, 1, (WRONG, RIGHT, RIGHT), {0}),  # the owner computed it again, and otherwise
        (2, 0, 1, (WRONG, RIGHT, WRONG), set()),  # the owner computed it again, and alike
        (1, 0, 0, (WRONG, RIGHT, OTHER), {0}),
    ],
)
def test_who_is_alone_is_wrong(workers, owner, checker, bits, rank):
    assert wrong(several(workers, 1), Check(0, owner, checker), *bits) == rank
