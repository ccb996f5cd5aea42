"""Sums whose order never depends on who adds: the fixed binary tree over the shards."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

Node = TypeVar("Node")


def tree(leaves: Sequence[Node], add: Callable[[Node, Node], Node]) -> Node:
    """Adds neighbours, then neighbouring sums, until one is left: ((0+1)+(2+3))+((4+5)+(6+7)).

    The tree depends on the number of leaves alone; an odd one out at the end of a level moves up
    unchanged. Floating-point addition is not associative, so this order is what makes the result the
    same, to the bit, however the leaves are spread over towers.
    """
    level = list(leaves)
    while len(level) > 1:
        pairs = [add(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


class Round(NamedTuple):
    """What happens between workers at one level of the tree over them: first the pairs, then the copies."""

    pairs: tuple[tuple[int, int], ...]  # both get the sum of the two
    copies: tuple[tuple[int, int], ...]  # (from, to): the second gets what the first has got


def rounds(workers: int) -> list[Round]:
    """The rounds by which every worker gets the sum of `tree` over them.

    A round adds neighbouring nodes: member i of the right one with member i of the left one, which both have the
    whole sum of their node. The left one may be larger, where the workers are no power of two; its other members get
    a copy. A sum of two does not depend on which comes first, so all end with the same bits.
    """
    nodes, rounds = [range(worker, worker + 1) for worker in range(workers)], []
    while len(nodes) > 1:
        merges = list(zip(nodes[::2], nodes[1::2], strict=False))
        pairs = [pair for left, right in merges for pair in zip(left, right, strict=False)]
        copies = [(left[0], member) for left, right in merges for member in left[len(right) :]]
        rounds.append(Round(tuple(pairs), tuple(copies)))
        merged = [range(left.start, right.stop) for left, right in merges]
        nodes = merged + nodes[len(merged) * 2 :]
    return rounds


def buckets(sizes: Sequence[int], most: int) -> list[list[int]]:
    """The indices of tensors of these sizes, in order, packed together up to `most`; a larger one stands alone."""
    packed: list[list[int]] = []
    room = 0
    for index, size in enumerate(sizes):
        if size > room:
            packed.append([])
            room = most
        packed[-1].append(index)
        room -= size
    return packed
