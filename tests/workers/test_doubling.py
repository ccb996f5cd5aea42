"""What all workers have, brought to all: each worker is a thread here, and queues lie between them."""

import collections
import math
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeline.workers import doubling, fingers


class Between:
    """What workers send each other, counted."""

    def __init__(self):
        self._sent: dict[tuple[int, int], queue.Queue] = {}
        self.exchanges, self.words = collections.Counter(), collections.Counter()

    def _way(self, one: int, other: int) -> queue.Queue:
        return self._sent.setdefault((one, other), queue.Queue())  # one of them, whoever comes first

    def of(self, index: int):
        def exchange(partner: int, own: np.ndarray) -> np.ndarray:
            self.exchanges[index] += 1
            self.words[index] += own.size
            self._way(index, partner).put(own)
            theirs = self._way(partner, index).get(timeout=60)
            assert theirs.shape == own.shape and theirs.dtype == own.dtype == np.int32
            return theirs

        return exchange


def on_all(count: int, act) -> tuple[list, Between]:
    """What `act` of (index, exchange) gives on each worker."""
    between = Between()
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda index: act(index, between.of(index)), range(count))), between


COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 31, 64]


@pytest.mark.parametrize("count", COUNTS)
def test_all_have_the_bytes_of_all_in_the_order_of_their_indices(count):
    own = [bytes([k]) * (37 * k % 11) for k in range(count)]  # some are empty
    found, between = on_all(count, lambda index, exchange: doubling.gathered(own[index], index, count, exchange))
    assert found == [own] * count
    rounds = math.floor(math.log2(count)) + 2 * (count != 1 << (count.bit_length() - 1))
    assert max(between.exchanges.values(), default=0) == 2 * rounds


def test_a_worker_sends_no_more_bytes_than_all_have_together():
    own = [bytes(4000)] * 16
    _, between = on_all(16, lambda index, exchange: doubling.gathered(own[index], index, 16, exchange))
    assert max(between.words.values()) < 1.1 * 16 * 1000


@pytest.mark.parametrize("count", COUNTS)
def test_one_bit_that_differs_on_one_worker_is_seen_by_all(count):
    def equal(digests: list[bytes]) -> list[bool]:
        return on_all(count, lambda i, exchange: doubling.all_equal(digests[i], i, count, exchange))[0]

    same = [b"12345678"] * count
    assert equal(same) == [True] * count
    for other in {0, count // 2, count - 1} if count > 1 else ():
        assert equal([b"12345679" if k == other else own for k, own in enumerate(same)]) == [False] * count
    if count > 3:  # in whole blocks, so that neighbours agree
        assert equal([b"12345679" if k < count // 2 else own for k, own in enumerate(same)]) == [False] * count


class Gone(Exception):
    """The partner has ended, and what it had for this worker with it."""


class Fetching:
    """Workers that fetch what the others lay out, one of them as late as it can be: once the other has gone on."""

    def __init__(self, late: int):
        self._late, self._changed = late, threading.Condition()
        self._laid_out: dict[tuple[int, int], list[tuple[np.ndarray, int]]] = collections.defaultdict(list)
        self._moves: collections.Counter[int] = collections.Counter()  # how often each has gone on
        self._ended: set[int] = set()

    def of(self, index: int):
        def exchange(partner: int, own: np.ndarray) -> np.ndarray:
            with self._changed:
                self._moves[index] += 1
                number, theirs = len(self._laid_out[index, partner]), self._laid_out[partner, index]
                self._laid_out[index, partner].append((own, self._moves[index]))
                self._changed.notify_all()

                def fetches() -> bool:
                    return len(theirs) > number and self._moves[partner] >= theirs[number][1] + (index == self._late)

                assert self._changed.wait_for(lambda: partner in self._ended or fetches(), timeout=10)
                if partner in self._ended:
                    raise Gone
                return theirs[number][0]

        return exchange

    def end(self, index: int) -> None:
        with self._changed:
            self._ended.add(index)
            self._changed.notify_all()


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_whoever_has_parted_breaks_nothing_that_another_still_does(count):
    for late in range(count):
        between = Fetching(late)

        def work(index: int, between=between) -> None:
            doubling.part(index, count, between.of(index), Gone)
            between.end(index)

        with ThreadPoolExecutor(count) as threads:
            list(threads.map(work, range(count)))


def test_who_is_lost_before_all_have_come_to_part_is_missed():
    between = Fetching(late=0)
    between.end(1)
    with pytest.raises(Gone):
        doubling.part(0, 2, between.of(0), Gone)


def test_each_exchange_has_two_sides():
    for count in range(1, 70):
        turns = [fingers.partners(index, count) for index in range(count)]
        queues = [list(partners) for partners in turns]
        while any(queues):
            ready = [k for k in range(count) if queues[k] and queues[queues[k][0]][:1] == [k]]
            assert ready, f"{count} workers wait for one another"
            for index in ready:
                queues[index].pop(0)
