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


def over_workers(values: np.ndarray) -> tuple[np.ndarray, int]:
    """What every worker has in the end, and the elements that each has sent, if each adds its own part."""
    workers, elements = values.shape
    part = reduce.part_size(elements, workers)
    parts = np.pad(values, ((0, 0), (0, part * workers - elements))).reshape(workers, workers, part)
    sums = [reduce.tree(list(parts[:, own]), np.add) for own in range(workers)]
    return np.concatenate(sums)[:elements], 2 * (workers - 1) * part


@pytest.mark.parametrize("workers", range(1, 65))
def test_parts_have_the_bits_of_the_tree_and_cost_what_a_ring_does(workers):
    elements = 5000 * workers + 1
    draws = np.random.default_rng(workers)
    values = np.float32(draws.normal(size=(workers, elements)) * 10.0 ** draws.integers(-6, 7, (workers, elements)))
    tree = reduce.tree(list(values), np.add)
    total, sent = over_workers(values)
    assert total.tobytes() == tree.tobytes()
    ring = 2 * (workers - 1) / workers * elements
    assert ring <= sent <= 1.01 * ring
    if workers > 2:
        assert tree.tobytes() != sum(values[::-1]).tobytes(), "any order would do: the test shows nothing"


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
