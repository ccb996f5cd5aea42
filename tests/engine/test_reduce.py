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


def bracketed_in_stages(count: int) -> str:
    """What each member has after all stages, if in each it adds with the members beside it at the stage's stride."""
    nodes, stride = [str(i) for i in range(count)], 1
    for size in reduce.stages(count):
        firsts = [i - i // stride % size * stride for i in range(count)]
        groups = [[nodes[first + place * stride] for place in range(size)] for first in firsts]
        nodes, stride = [reduce.tree(group, lambda a, b: f"({a}+{b})") for group in groups], stride * size
    assert len(set(nodes)) == 1
    return nodes[0]


@pytest.mark.parametrize("workers", [*range(1, 65), 96, 1000, 1023, 1024])
def test_stages_add_along_the_tree(workers):
    assert bracketed_in_stages(workers) == bracketed(workers)


def test_stages_are_pairs_as_long_as_there_are_only_pairs():
    found = {count: reduce.stages(count) for count in (1, 2, 3, 8, 12, 1000, 1024)}
    assert found == {1: [], 2: [2], 3: [3], 8: [2] * 3, 12: [2, 2, 3], 1000: [2, 2, 2, 125], 1024: [2] * 10}


@pytest.mark.parametrize("workers", (1, 2, 3, 8))
@pytest.mark.parametrize("elements", (0, 1, 31, 32, 33, 1000))
def test_parts_hold_every_element_and_begin_where_memory_is_aligned(elements, workers):
    part = reduce.part_size(elements, workers)
    assert part % reduce.ALIGNED == 0
    assert elements <= part * workers < elements + workers * reduce.ALIGNED


# --- packing ---


def test_tensors_are_packed_in_order_up_to_the_most():
    assert reduce.buckets([3, 3, 4, 1, 9, 9], 10) == [[0, 1, 2], [3, 4], [5]]
    assert reduce.buckets([], 10) == []


def test_a_tensor_larger_than_the_most_stands_alone():
    assert reduce.buckets([1, 11, 1, 1], 10) == [[0], [1], [2, 3]]


def test_a_tensor_without_elements_takes_no_room():
    assert reduce.buckets([10, 0, 0, 1], 10) == [[0, 1, 2], [3]]
