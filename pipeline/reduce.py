"""Sums whose order never depends on who adds: the fixed binary tree over the shards."""

from collections.abc import Callable, Sequence
from typing import TypeVar

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
