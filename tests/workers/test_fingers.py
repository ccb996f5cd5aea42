"""Who tells whom: news reaches all, in few hops, whoever is lost."""

import random

import pytest

from pipeline.workers import fingers

MANY = [33, 40, 64, 100, 127, 128, 1000, 1024]


def hops_from(start: int, count: int, lost: frozenset[int] = frozenset()) -> list[set[int]]:
    """The workers that news from one has reached after 0, 1, 2, ... hops."""
    reached, rings = {start}, [{start}]
    while rings[-1]:
        rings.append({k for one in rings[-1] for k in fingers.neighbours(one, count)} - reached - lost)
        reached |= rings[-1]
    return rings[:-1]


def test_few_workers_tell_all_others():
    for count in (1, 2, 3, fingers.ALL_TO_ALL):
        assert [fingers.neighbours(k, count) for k in range(count)] == [
            tuple(other for other in range(count) if other != k) for k in range(count)
        ]


@pytest.mark.parametrize("count", MANY)
def test_many_workers_tell_some_who_tell_them_and_reach_all(count):
    told = [set(fingers.neighbours(index, count)) for index in range(count)]
    assert all(index in told[other] for index in range(count) for other in told[index])
    assert all(index not in told[index] for index in range(count))
    assert max(map(len, told)) < 2 * count.bit_length()
    rings = hops_from(0, count)
    assert set().union(*rings) == set(range(count))
    assert len(rings) - 1 <= fingers.hops(count) <= count.bit_length()


@pytest.mark.parametrize("count", MANY[:-2])
def test_the_living_reach_each_other_whoever_is_lost(count):
    draws = random.Random(count)
    degree = len(fingers.neighbours(0, count))
    for lost in range(1, degree, 2):
        gone = frozenset(draws.sample(range(1, count), lost))
        assert set().union(*hops_from(0, count, gone)) == set(range(count)) - gone


@pytest.mark.parametrize("count", [33, 64, 1000])
def test_each_worker_tells_the_chief_in_its_turn_and_no_turn_is_crowded(count):
    near = {0, *fingers.neighbours(0, count)}
    turns = -(-count // fingers.TO_CHIEF_A_PULSE)
    told = [[index for index in range(count) if fingers.tells_chief(index, count, 7 + turn)] for turn in range(turns)]
    assert sorted(index for turn in told for index in turn) == sorted(set(range(count)) - near)
    assert max(map(len, told)) <= fingers.TO_CHIEF_A_PULSE


def test_those_whom_the_lost_cut_off_are_all_others_that_are_not_reached():
    assert fingers.cut_off(0, 40, {5, 6, 7}) == set()
    for lost in ({*fingers.neighbours(20, 40)}, {*range(1, 40, 2)}, {*random.Random(1).sample(range(1, 40), 30)}):
        reached = set().union(*hops_from(0, 40, frozenset(lost)))
        assert fingers.cut_off(0, 40, lost) == set(range(40)) - reached - lost
    assert fingers.cut_off(0, 40, {*fingers.neighbours(20, 40)}) == {20}


@pytest.mark.parametrize("count", MANY[:-2])
def test_as_few_as_are_taken_to_cut_off_none_do_not(count):
    draws, most = random.Random(count), -(-2 * len(fingers.neighbours(0, count)) // 3) - 1
    for _ in range(20):
        lost = frozenset(draws.sample(range(1, count), most))
        assert set().union(*hops_from(0, count, lost)) == set(range(count)) - lost


@pytest.mark.parametrize("count", MANY)
def test_the_contacts_of_many_are_some_and_all_with_whom_one_exchanges_anything(count):
    for index in (0, 1, count // 2, count - 1):
        contacts = fingers.contacts(index, count)
        assert {*contacts} == {0, *fingers.neighbours(index, count), *fingers.partners(index, count)} - {index}
        assert len(contacts) <= 4 * count.bit_length() and list(contacts) == sorted(contacts)
    assert fingers.contacts(3, 32) == fingers.neighbours(3, 32)
