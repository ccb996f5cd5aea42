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


def part_size(elements: int, workers: int) -> int:
    """Elements in the part of a vector that each of the workers adds: equal ones, which hold all of it together.

    Each worker gets the others' values of its part, adds them along `tree`, and sends the sums to the others. So it
    sends 2 (workers - 1) parts in all, as in a ring (reduce-scatter and all-gather, Thakur, Rabenseifner & Gropp 2005),
    for any number of workers. Parts are multiples of ALIGNED, for the price of some zeros at the end.
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
