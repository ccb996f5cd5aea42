import numpy as np

from pipeline import reduce


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
