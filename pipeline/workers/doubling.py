"""What each worker has, brought to all in about 2 log2(W) exchanges of two: recursive doubling.

Thakur, Rabenseifner & Gropp 2005, section 4. All workers must call the same functions in the same order.
"""

import contextlib
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.workers import fingers

Exchange = Callable[[int, np.ndarray], np.ndarray]  # (partner, [n] int32 for it) -> [n] int32, what it has for this one
_WORD = 4  # bytes
_EVEN = 64  # words: sizes are multiples, so that there are few of them


def gathered(own: bytes, index: int, count: int, exchange: Exchange) -> list[bytes]:
    """Every worker's bytes, on every worker, in the order of their indices."""
    known = {index: own}
    for partner in fingers.partners(index, count):
        known |= _unpacked(_swapped(_packed(known), partner, exchange))
    return [known[worker] for worker in range(count)]


def all_equal(digest: bytes, index: int, count: int, exchange: Exchange) -> bool:
    """Whether every worker has these bytes, on every worker. Their number is the same on all, and divides by 4."""
    own, equal = np.frombuffer(digest, np.int32), True
    for partner in fingers.partners(index, count):
        told = exchange(partner, np.append(own, np.int32(equal)))
        equal = equal and bool(told[-1]) and np.array_equal(told[:-1], own)
    return equal


def part(index: int, count: int, exchange: Exchange, broken: type[Exception]) -> None:
    """Returns when every worker has called it, and none needs this one any more. Raises `broken` if one is lost before.

    A worker whose last exchange is over may end before its partner has fetched the other half of it. So they meet
    twice: whoever ends after the second meeting can break only that, which all enter after the first.
    """
    all_equal(b"", index, count, exchange)
    with contextlib.suppress(broken):
        all_equal(b"", index, count, exchange)


def _packed(known: Mapping[int, bytes]) -> np.ndarray:
    """[n] int32: how many parts there are, their workers, their sizes, and the parts, each from a word's beginning."""
    head = np.asarray([len(known), *known, *map(len, known.values())], np.int32)
    parts = [np.frombuffer(part + b"\0" * (-len(part) % _WORD), np.int32) for part in known.values()]
    return np.concatenate([head, *parts])


def _unpacked(packed: np.ndarray) -> dict[int, bytes]:
    count = int(packed[0])
    workers, sizes = packed[1 : 1 + count], packed[1 + count : 1 + 2 * count]
    ends = 1 + 2 * count + np.cumsum(-(-sizes // _WORD))
    parts = np.split(packed, [1 + 2 * count, *ends])[1:-1]
    return {int(w): part.tobytes()[:size] for w, part, size in zip(workers, parts, sizes, strict=True)}


def _swapped(own: np.ndarray, partner: int, exchange: Exchange) -> np.ndarray:
    """The partner's integers, of which there may be more or fewer."""
    size = int(exchange(partner, np.asarray([own.size], np.int32))[0])
    room = -(-max(own.size, size) // _EVEN) * _EVEN
    return exchange(partner, np.pad(own, (0, room - own.size)))[:size]
