"""Whom a candidate calls. PURE.

Few candidates call all others. Of many, each calls the first ones, the lowest that it hears, and some more in turn, so
that it soon finds who is lowest, whoever is gone. Those that are the lowest themselves call back whoever calls them.
"""

from collections.abc import Collection

FEW = 32  # candidates at most that all call each other; of many, the number of each of these groups


def called(own: int, count: int, heard: Collection[int], turn: int) -> set[int]:
    """The candidates that this one calls in a turn; heard: those that it hears."""
    if count <= FEW:
        return {*range(count)} - {own}
    lowest = sorted({own, *heard})[:FEW]
    groups = -(-count // FEW)
    first = turn % groups * FEW
    in_turn = range(first, min(first + FEW, count))
    return {*range(FEW), *lowest, *in_turn, *(heard if own in lowest else ())} - {own}
