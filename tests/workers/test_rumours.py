"""Who of many is silent, once all have met: all name the same, and while all is well nobody is told of."""

import json

import pytest
from ring import Ring

from pipeline.workers import fingers
from pipeline.workers.news import MOST_RUMOURS, Rumour
from pipeline.workers.rumours import WATCHED_S, Rumours

COUNT = 40
NAMED = int(WATCHED_S) + 2  # pulses after the last word, until a neighbour tells that it misses a worker


@pytest.fixture
def ring(monkeypatch) -> Ring:
    ring = Ring(monkeypatch, COUNT)
    ring.have_met()
    return ring


def size(ring: Ring) -> int:
    """The bytes of the longest news."""
    news = [one.news(ring.number, ring.statuses[index]).value(ring.count) for index, one in ring.all.items()]
    return max(len(json.dumps(one)) for one in news)


def told_of(ring: Ring) -> set[int]:
    return {rumour.worker for one in ring.all.values() for rumour in one._rumours.told(ring.clock.now)}


def test_of_a_thousand_a_lost_one_and_a_block_are_named_by_all_and_words_are_small(monkeypatch):
    ring = Ring(monkeypatch, 1024)
    ring.have_met()
    assert size(ring) < 350 and told_of(ring) == set()
    lost = {7, *range(500, 506)}
    ring.kill(*lost)
    ring.pulse(NAMED + fingers.hops(1024))
    assert ring.silent() == {frozenset(lost)}
    seconds = {one.silent()[k] for one in ring.all.values() for k in lost}
    assert seconds == {NAMED + fingers.hops(1024) + 1}, "all know how long, not only that"
    assert size(ring) < 350 + 22 * len(lost)


def test_a_block_of_half_of_the_workers_is_named_by_all(monkeypatch):
    ring = Ring(monkeypatch, 100)
    ring.have_met()
    ring.kill(*range(20, 70))
    ring.pulse(NAMED + 2 * fingers.hops(100))
    assert ring.silent() == {frozenset(range(20, 70))}


def test_those_whom_the_lost_cut_off_are_named_too(ring):
    near = fingers.neighbours(20, COUNT)
    ring.kill(*near)
    ring.pulse(NAMED + fingers.hops(COUNT) + 5)
    living = {index: one.silent() for index, one in ring.all.items() if index != 20}
    named = {frozenset(k for k, seconds in silent.items() if seconds > 3) for silent in living.values()}
    assert named == {frozenset({20, *near})}


def test_one_that_is_stopped_and_goes_on_is_cleared_by_all_and_forgotten(ring):
    ring.stopped = {9}
    ring.pulse(15)
    assert ring.silent() == {frozenset({9})}
    ring.stopped = set()
    ring.pulse(fingers.hops(COUNT) + 1)
    assert ring.silent() == {frozenset()}
    ring.pulse(2 * int(fingers.delay_s(COUNT)))
    assert told_of(ring) == set() and ring.silent() == {frozenset()}
    ring.kill(9)  # it is as any other again
    ring.pulse(NAMED + fingers.hops(COUNT))
    assert ring.silent() == {frozenset({9})}


def test_one_that_goes_on_accuses_nobody(ring):
    ring.stopped = {9}
    ring.pulse(15)
    ring.stopped = set()
    assert ring.all[9].news(ring.number, ring.statuses[9]).rumours == ()


def test_one_whom_some_do_not_hear_is_cleared_by_the_others(ring):
    """The link between 9 and 10 is cut; 10 misses 9's words again and again, and others tell it of later ones."""
    ring.near[9] = tuple(k for k in ring.near[9] if k != 10)
    ring.near[10] = tuple(k for k in ring.near[10] if k != 9)
    longest = 0.0
    for _ in range(40):
        ring.pulse()
        longest = max(longest, *(seconds for one in ring.all.values() for seconds in one.silent().values()))
    assert 3 < longest <= NAMED + 3
    assert told_of(ring) == {9, 10}


def test_where_every_third_word_is_lost_all_name_the_dead_alone(monkeypatch):
    ring = Ring(monkeypatch, 64, drops=1 / 3)
    ring.have_met()
    ring.kill(30)
    for _ in range(30):
        ring.pulse()
        assert all(
            seconds <= NAMED + fingers.hops(64) + 2
            for one in ring.all.values()
            for worker, seconds in one.silent().items()
            if worker != 30
        )
    assert ring.silent(longer_than=25) == {frozenset({30})}


# --- one worker alone ---


def test_a_rumour_that_no_neighbour_repeats_ends():
    one, other, now = Rumours(0, COUNT), Rumours(1, COUNT), 0.0
    one.take([Rumour(12, 5, 4.0, 0.0)], now)
    assert one.silent(now)[12] == 4.0 and one.is_silent(12, now)
    for _ in range(2 * int(fingers.delay_s(COUNT)) + 2):
        other.take(one.told(now), now)
        one.take(other.told(now), now)
        now += 1
    assert one.told(now) == other.told(now) == () and 12 not in one.silent(now)


def test_a_later_word_counts_more_than_a_rumour_and_silence_more_than_the_same_word():
    one = Rumours(0, COUNT)
    for told, is_silent in (((5, 4.0), True), ((6, 0.0), False), ((5, 9.0), False), ((6, 3.5), True), ((6, 0.0), True)):
        one.take([Rumour(12, *told, 0.0)], 100.0)
        assert one.is_silent(12, 100.0) == is_silent
    one.hear(12, 7, 100.0)  # as it tells the chief in its turn
    assert not one.is_silent(12, 100.0) and one.told(100.0) == (Rumour(12, 7, 0.0, 0.0),)


def test_a_neighbour_that_has_heard_a_later_word_says_so():
    one = Rumours(0, COUNT)
    one.hear(1, 9, 100.0)
    one.take([Rumour(1, 8, 50.0, 0.0)], 101.0)
    assert one.told(101.0) == (Rumour(1, 9, 0.0, 0.0),)
    one.hear(1, 10, 102.0)
    assert one.told(102.0) == (Rumour(1, 10, 0.0, 1.0),) and not one.is_silent(1, 102.0)


def test_a_new_rumour_is_not_believed_at_any_length_and_none_of_oneself_is():
    """Who tells it may have been stopped itself for as long."""
    one = Rumours(0, COUNT)
    one.take([Rumour(12, 5, 1e6, 0.0), Rumour(0, 5, 10.0, 0.0), Rumour(13, 5, 4.0, 1e6)], 100.0)
    assert one.silent(100.0) == {12: WATCHED_S + fingers.PULSE_S + fingers.delay_s(COUNT)}


def test_no_word_tells_of_more_than_a_datagram_holds():
    one = Rumours(0, 4096)
    one.take([Rumour(worker, 5, 4.0 * (worker % 2), 0.0) for worker in range(2048)], 100.0)
    told = one.told(100.0)
    assert len(told) == MOST_RUMOURS and all(rumour.worker % 2 for rumour in told), "the silent first"
