"""What a worker of many passes on, and what it takes from others; no sockets."""

import numpy as np
import pytest
from ring import Ring

from pipeline.workers import fingers, hearsay
from pipeline.workers.hearsay import Hearsay
from pipeline.workers.news import MOST_RUMOURS, News, Rumour

COUNT = 40


@pytest.fixture
def ring(monkeypatch) -> Ring:
    return Ring(monkeypatch, COUNT)


def test_all_are_known_to_all_after_so_many_pulses_and_none_is_silent(ring):
    ring.meet()
    assert all(one.silent().keys() == set(range(COUNT)) - {k} for k, one in ring.all.items())
    assert {silent for one in ring.all.values() for silent in one.silent().values()} == {0.0, 1.0}


def test_the_lost_are_silent_for_all_as_long_but_for_the_way_of_their_last_word(ring):
    ring.meet()
    ring.kill(3, 4, 17)
    ring.pulse(15)
    for one in ring.all.values():
        silent = one.silent()
        assert {worker for worker, seconds in silent.items() if seconds > 2} == {3, 4, 17}
        assert all(15 - fingers.hops(COUNT) <= silent[worker] <= 16 for worker in (3, 4, 17))


def test_a_farewell_reaches_all_as_the_first_who_leaves_said_it(ring):
    ring.meet()
    ring.all[21].note_farewell(20, {"code": 70, "message": "nan"})
    ring.pulse(fingers.hops(COUNT))
    told = [one.farewell for index, one in ring.all.items() if index != 20]
    assert told == [{"worker": 20, "code": 70, "message": "nan"}] * (COUNT - 1)
    assert ring.all[20].farewell is None


def test_whoever_is_furthest_behind_is_known_to_all_and_no_longer_once_it_goes_on(ring):
    ring.meet()
    ring.statuses[9] = {"arrived": 98, "late": False}
    ring.statuses[30] = {"arrived": 99, "late": True}
    ring.pulse(fingers.hops(COUNT) + 1)
    assert {(one.behind["worker"], one.behind["status"]["arrived"]) for one in ring.all.values()} == {(9, 98)}
    ring.statuses[9] = {"arrived": 100, "late": False}
    ring.pulse(2 * fingers.hops(COUNT) + 3)
    assert {(one.behind["worker"], one.behind["status"]["late"]) for one in ring.all.values()} == {(30, True)}


def test_the_status_of_one_who_falls_silent_stays(ring):
    ring.meet()
    ring.statuses[9] = {"arrived": 99, "late": False}
    ring.pulse(fingers.hops(COUNT) + 1)
    ring.kill(9)
    ring.pulse(20)
    assert {one.behind["worker"] for one in ring.all.values()} == {9}


def test_nobody_has_met_all_before_each_has_said_so_of_the_same_processes(ring):
    ring.pulse(fingers.hops(COUNT))
    for index in range(1, COUNT):
        ring.all[index].settle()
    ring.pulse(10)
    assert not any(one.all_met for one in ring.all.values())
    assert all(one.missing() == {0} for one in ring.all.values())


def test_who_has_met_other_processes_does_not_count(ring):
    ring.pulse(fingers.hops(COUNT) + 2)
    one = ring.all[20]
    ring.all[21]._lives[5] ^= 1
    for other, met in ((21, 0), (22, 1 << 22)):
        ring.all[other].settle()
        one.take(ring.wire(ring.all[other].news(99, ring.statuses[other])))
        assert one._met == met


def test_nobody_is_complete_with_one_who_is_silent(ring):
    ring.pulse(fingers.hops(COUNT) + 2)
    assert ring.all[20].is_complete
    ring.kill(5)
    ring.pulse(fingers.hops(COUNT) + int(hearsay.SUPPOSED_GONE_S))
    assert not any(one.is_complete for one in ring.all.values())


def test_who_comes_late_does_not_take_the_dead_for_the_living(ring):
    ring.pulse(fingers.hops(COUNT) + 2)
    ring.kill(5)
    ring.pulse(fingers.hops(COUNT))  # until its last word is known to all
    for late, is_complete in (("b", False), ("c", True)):
        ring.lives[11] = f"life 11 {late}"
        ring.all[11] = Hearsay(11, COUNT, ring.lives[11])
        ring.pulse(2)
        assert ring.all[11].is_complete == is_complete
        ring.all[5] = Hearsay(5, COUNT, ring.lives[5])
        ring.pulse(fingers.hops(COUNT) + 2)


def test_one_who_is_started_again_in_the_meeting_counts_as_the_new_one(ring):
    ring.pulse(fingers.hops(COUNT))
    before = int(ring.all[20]._lives[5])
    ring.lives[5] = "life 5 b"
    ring.all[5] = again = Hearsay(5, COUNT, ring.lives[5])
    ring.pulse(fingers.hops(COUNT) + 4)  # its neighbours hear the new one, all others by them
    assert {int(one._lives[5]) for one in ring.all.values()} == {int(again._lives[5])} != {before}


def test_after_the_meeting_a_new_process_is_the_end_of_the_one_that_was_met(ring):
    ring.pulse(fingers.hops(COUNT))
    one = ring.all[20]
    one.settle()
    told = ring.all[21].news(99, ring.statuses[21])
    lives = told.lives.copy()
    lives[5] ^= 1
    ring.clock.now += hearsay.SUPPOSED_GONE_S + 1
    one.take(News(**{**vars(told), "lives": lives}))
    assert one.farewell == {"worker": 5, **hearsay.STARTED_ANEW}


GOOD = Hearsay(0, COUNT, "life").news(3, {"arrived": 1}).value(COUNT)
RUMOURS = (Rumour(1, 7, 3.5, 0.0), Rumour(COUNT - 1, 2**32 - 2, 0.0, 1.25))


def told_of(*rumours: Rumour) -> str:
    return News(**{**vars(News.read(GOOD, COUNT)), "rumours": rumours}).value(COUNT)["rumours"]


def test_rumours_are_read_as_they_were_told():
    assert News.read(GOOD | {"rumours": told_of(*RUMOURS)}, COUNT).rumours == RUMOURS
    assert News.read(GOOD | {"met": "all"}, COUNT).met == (1 << COUNT) - 1


@pytest.mark.parametrize(
    "changes",
    [
        *({"numbers": value} for value in (None, 5, "", "!", "AAAA", "AAAAAAA=", [1] * COUNT)),
        *({"lives": value} for value in (None, 5, "AAAAAA==", "é")),
        *({"met": value} for value in (None, 5, "", "-1", "x", f"{1 << COUNT:x}", "0" * 100)),
        *({"table": value} for value in (None, 5, "0" * 1000)),
        *({"chief": value} for value in (5, {}, {"life": "a"}, {"life": 1, "hello": {}}, {"life": "a", "hello": 1})),
        *({"farewell": {"worker": 1, "code": 70, "message": "nan"} | change} for change in ({"worker": COUNT},)),
        *({"farewell": {"worker": 1, "code": 70, "message": "nan"} | {name: None}} for name in ("worker", "message")),
        *({"farewell": {"worker": 1, "code": code, "message": "nan"}} for code in (256, -1, "70")),
        *({"behind": value} for value in (5, {}, {"worker": COUNT, "number": 1, "status": {}})),
        *({"behind": {"worker": 1, "number": number, "status": {}}} for number in (-1, 1.5, "1")),
        *({"behind": {"worker": 1, "number": 1, "status": {}, "told_s": told}} for told in (-1, "1", None, True)),
        *({"rumours": value} for value in (None, 5, "!", "AAAA", told_of(Rumour(COUNT, 1, 0, 0)), [])),
        {"rumours": told_of(*[Rumour(1, 1, 3.0, 0.0)] * (MOST_RUMOURS + 1))},
        {"more": 1},
    ],
)
def test_what_is_no_news_is_not_taken(changes):
    assert News.read(GOOD, COUNT) is not None
    assert News.read(GOOD | changes, COUNT) is None
    assert News.read([GOOD], COUNT) is None


def test_nobody_tells_a_worker_of_itself(ring):
    one = Hearsay(0, COUNT, "life")
    told = Hearsay(1, COUNT, "other").news(5, {"arrived": 1})
    told.numbers[0], told.lives[0] = 10**9, 77
    before = one.news(3, {"arrived": 2})
    one.take(told)
    one.note_farewell(0, {"code": 70, "message": "nan"})
    after = one.news(3, {"arrived": 2})
    assert (after.numbers[0], after.lives[0], after.farewell) == (before.numbers[0], before.lives[0], None)
    assert np.flatnonzero(after.lives).tolist() == [0, 1]
