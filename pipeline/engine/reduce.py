"""Sums in an order that is always the same: the fixed binary tree over the shards."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Node = TypeVar("Node")
ALIGNED = 32  # elements: 64 bytes of the smallest type; a row that begins there is added where it lies


def tree(leaves: Sequence[Node], add: Callable[[Node, Node], Node]) -> Node:
    """Adds neighbours, then neighbouring sums, until one is left: ((0+1)+(2+3))+((4+5)+(6+7)).

    The tree depends on the number of leaves alone; an odd one out at the end of a level moves up unchanged.
    Floating-point addition is not associative: with this fixed order, the bits of the result do not depend on how the
    leaves are spread over towers.
    """
    level = list(leaves)
    while len(level) > 1:
        pairs = [add(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def stages(count: int) -> list[int]:
    """The sizes of the groups in which so many members add along `tree`, stage by stage: [2, 2, 3] for 12.

    In the first stage pairs of neighbours add, in the next one pairs of pairs, for as long as there are only pairs; in
    the last stage the groups that are left, an odd number, add along the tree of their own.
    """
    pairs = (count & -count).bit_length() - 1
    rest = count >> pairs
    return [2] * pairs + [rest] * (rest > 1)


def part_size(elements: int, workers: int) -> int:
    """Elements in the part of a vector that each of the workers adds in the end: equal ones, which hold all of it.

    Parts are multiples of ALIGNED, for the price of some zeros at the end.
    """
    return -(-elements // (workers * ALIGNED)) * ALIGNED


def buckets(sizes: Sequence[int], most: int) -> list[list[int]]:
    """The indices of tensors of these sizes, in order, in buckets of at most `most`; a larger tensor has its own."""
    packed: list[list[int]] = []
    room = 0
    for index, size in enumerate(sizes):
        if size > room:
            packed.append([])
            room = most
        packed[-1].append(index)
        room -= size
    return packed
