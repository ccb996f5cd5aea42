"""What one worker sends in the sum of a vector over all workers, by algorithm. PURE."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.cost.hosts import Host
from benchmarks.cost.networks import ELEMENT
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
    """The exact all-reduce as it is: in each stage a group exchanges parts, and in the end gathers sums in a ring.

    Two workers use the ring, since two numbers can be added in one order only.
    """
    if workers <= 2:
        return ring(elements, workers)
    return _in_stages(elements, workers, reduce.stages(workers))


def at_once(elements: int, workers: int) -> Traffic:
    """One stage of all workers: what the exact sum is for an odd number of them."""
    return ring(elements, workers) if workers <= 2 else _in_stages(elements, workers, [workers])


def _in_stages(elements: int, workers: int, stages: Sequence[int]) -> Traffic:
    messages = 2 * sum(size - 1 for size in stages)
    sent = 2 * (workers - 1) * ELEMENT * reduce.part_size(elements, workers)
    return Traffic(sum(stages), messages, sent, ELEMENT * elements)


def ring(elements: int, workers: int) -> Traffic:
    """--all_reduce=fast: a ring in which parts are added, and a ring in which sums are handed on."""
    others = workers - 1
    return Traffic(2 * others, 2 * others, 2 * others / workers * ELEMENT * elements, 0.0)


WAYS: dict[str, Algorithm] = {"exact": exact, "all at once": at_once, "ring": ring}


def seconds(traffic: Traffic, host: Host, sharing: float) -> Seconds:
    """The time of a sum. sharing: workers on each core, which slow each other's processor time."""
    link = host.between
    return Seconds(
        traffic.hops * (link.hop_s + host.queue_s * (sharing - 1)),
        traffic.messages * link.message_s * sharing,
        traffic.sent * (1 / link.bytes_per_s + link.byte_s * sharing),
        traffic.handled * host.handled_byte_s * sharing,
    )


def processor_seconds(traffic: Traffic, host: Host, sharing: float) -> float:
    """The part of that time in which a worker's core can do nothing else."""
    link = host.between
    own = traffic.messages * link.message_s + traffic.sent * link.byte_s + traffic.handled * host.handled_byte_s
    return own * sharing
