"""Sums in an order that is always the same: the fixed binary tree over the shards."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

Node = TypeVar("Node")


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


class Round(NamedTuple):
    """The exchanges between workers at one level of the tree over them: first the pairs, then the copies."""

    pairs: tuple[tuple[int, int], ...]  # both workers get the sum of the two
    copies: tuple[tuple[int, int], ...]  # (from, to): the second worker gets the first one's sum


def rounds(workers: int) -> list[Round]:
    """The rounds after which every worker has the sum of `tree` over all workers.

    Each member of a node has the whole sum of the node. A round adds neighbouring nodes: member i of the left node with
    member i of the right node. Where the number of workers is no power of two, the left node may be larger; its other
    members get a copy. Adding two numbers is commutative, so all workers end with the same bits.
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
