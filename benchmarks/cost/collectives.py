"""What one worker sends in the sum of a vector over all workers, by algorithm. PURE."""

import math
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.cost.hosts import Host
from benchmarks.cost.networks import BUCKET, ELEMENT, LARGE_BUCKET, MANY
from pipeline.engine import reduce


class Traffic(NamedTuple):
    """One worker's part."""

    hops: int  # messages that wait for one another
    messages: int  # that it sends, and receives as many
    sent: float  # bytes, and as many received
    handled: float  # bytes of the vector that it packs, adds and unpacks itself


class Seconds(NamedTuple):
    """The time of a sum, by cause."""

    hops: float
    messages: float
    sent: float
    handled: float

    def times(self, factor: float) -> "Seconds":
        """Each of them."""
        return Seconds(*(factor * one for one in self))

    def plus(self, other: "Seconds") -> "Seconds":
        """Each with its own kind."""
        return Seconds(*(one + more for one, more in zip(self, other, strict=True)))


NO_TIME = Seconds(0.0, 0.0, 0.0, 0.0)
Algorithm = Callable[[int, int], Traffic]  # (elements, workers)


def exact(elements: int, workers: int) -> Traffic:
    """The exact all-reduce as it is: an all-to-all, in which all pairs speak at once, and a gather in a ring.

    Two workers use the ring, since two numbers can be added in one order only.
    """
    if workers <= 2:
        return ring(elements, workers)
    others, part = workers - 1, ELEMENT * reduce.part_size(elements, workers)
    return Traffic(1 + others, 2 * others, 2 * others * part, ELEMENT * elements)


def ring(elements: int, workers: int) -> Traffic:
    """--all_reduce=fast: a ring in which parts are added, and a ring in which sums are handed on."""
    others = workers - 1
    return Traffic(2 * others, 2 * others, 2 * others / workers * ELEMENT * elements, 0.0)


def halving(elements: int, workers: int) -> Traffic:
    """Recursive halving and doubling (Thakur, Rabenseifner & Gropp 2005): adds along the same tree. Not built.

    For a power of two of workers; others need one exchange more on each side.
    """
    rounds, others = math.ceil(math.log2(workers)), workers - 1
    extra = 2 * (workers != 1 << rounds)
    sent = 2 * others / workers * ELEMENT * elements
    return Traffic(2 * rounds + extra, 2 * rounds + extra, sent, ELEMENT * elements if workers > 1 else 0.0)


class Way(NamedTuple):
    """A way to sum a gradient."""

    algorithm: Algorithm
    many: int = BUCKET  # elements in a bucket at most, from MANY workers on

    def bucket_size(self, workers: int) -> int:
        """Elements in a bucket at most."""
        return self.many if workers >= MANY else BUCKET


EXACT, RING = Way(exact, LARGE_BUCKET), Way(ring)
WAYS = {"exact": EXACT, "exact, 4 MiB": Way(exact), "ring": RING, "halving": Way(halving)}


def seconds(traffic: Traffic, host: Host, sharing: float) -> Seconds:
    """The time of a sum. sharing: workers on each core, which slow each other's processor time."""
    link = host.between
    return Seconds(
        traffic.hops * link.hop_s,
        traffic.messages * link.message_s * sharing,
        traffic.sent * (1 / link.bytes_per_s + link.byte_s * sharing),
        traffic.handled * host.handled_byte_s * sharing,
    )


def processor_seconds(traffic: Traffic, host: Host, sharing: float) -> float:
    """The part of that time in which a worker's core can do nothing else."""
    link = host.between
    own = traffic.messages * link.message_s + traffic.sent * link.byte_s + traffic.handled * host.handled_byte_s
    return own * sharing
