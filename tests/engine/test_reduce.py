import itertools

import numpy as np
import pytest

from pipeline.engine import reduce


def bracketed(count: int) -> str:
    return reduce.tree([str(i) for i in range(count)], lambda left, right: f"({left}+{right})")


def test_neighbours_are_added_then_neighbouring_sums():
    assert bracketed(1) == "0"
    assert bracketed(2) == "(0+1)"
    assert bracketed(4) == "((0+1)+(2+3))"
    assert bracketed(8) == "(((0+1)+(2+3))+((4+5)+(6+7)))"


def test_an_odd_one_out_moves_up_unchanged():
    assert bracketed(3) == "((0+1)+2)"
    assert bracketed(5) == "(((0+1)+(2+3))+4)"
    assert bracketed(7) == "(((0+1)+(2+3))+((4+5)+6))"


def test_what_a_power_of_two_of_towers_adds_first_is_a_part_of_the_tree():
    """Four towers of two shards each sum their own, then each other's: the same brackets as one tower of eight."""
    towers = [reduce.tree([str(2 * t), str(2 * t + 1)], lambda a, b: f"({a}+{b})") for t in range(4)]
    assert reduce.tree(towers, lambda a, b: f"({a}+{b})") == bracketed(8)


def test_the_order_shows_in_the_bits():
    leaves = [np.float32(x) for x in (1e8, 1.0, -1e8, 1.0)]
    assert reduce.tree(leaves, np.add) == 0.0  # (1e8 + 1) + (-1e8 + 1), each of which loses its 1
    assert sum(leaves) == 1.0  # ((1e8 + 1) - 1e8) + 1


# --- over workers ---


def over_workers(values: list[np.ndarray]) -> list[np.ndarray]:
    """What every worker has in the end, if each does its part of every round."""
    has = list(values)
    for pairs, copies in reduce.rounds(len(values)):
        before = list(has)
        for left, right in pairs:
            has[left], has[right] = before[left] + before[right], before[right] + before[left]
        for source, target in copies:
            has[target] = has[source]
    return has


@pytest.mark.parametrize("workers", range(1, 10))
def test_by_the_rounds_every_worker_ends_with_the_bits_of_the_tree(workers):
    draws = np.random.default_rng(workers)
    values = [np.float32(draws.normal(size=500) * 10.0 ** draws.integers(-6, 7, 500)) for _ in range(workers)]
    tree = reduce.tree(values, np.add)
    assert [value.tobytes() for value in over_workers(values)] == [tree.tobytes()] * workers
    if workers > 2:
        assert tree.tobytes() != sum(values[::-1]).tobytes(), "any order would do: the test shows nothing"


@pytest.mark.parametrize("workers", range(1, 10))
def test_there_are_as_many_rounds_as_levels_and_nobody_adds_twice_in_one(workers):
    rounds = reduce.rounds(workers)
    assert len(rounds) == (workers - 1).bit_length()
    for pairs, copies in rounds:
        receivers = [*itertools.chain(*pairs), *(target for _, target in copies)]
        assert len(set(receivers)) == len(receivers)
        assert {source for source, _ in copies} <= set(itertools.chain(*pairs))


def test_a_power_of_two_of_workers_needs_no_copies():
    assert reduce.rounds(4) == [(((0, 1), (2, 3)), ()), (((0, 2), (1, 3)), ())]


# --- packing ---


def test_tensors_are_packed_in_order_up_to_the_most():
    assert reduce.buckets([3, 3, 4, 1, 9, 9], 10) == [[0, 1, 2], [3, 4], [5]]
    assert reduce.buckets([], 10) == []


def test_a_tensor_larger_than_the_most_stands_alone():
    assert reduce.buckets([1, 11, 1, 1], 10) == [[0], [1], [2, 3]]


def test_a_tensor_without_elements_takes_no_room():
    assert reduce.buckets([10, 0, 0, 1], 10) == [[0, 1, 2], [3]]
