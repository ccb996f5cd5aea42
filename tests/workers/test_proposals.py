"""Which candidates are to be the job, as each of them sees it."""

import pytest

from pipeline.workers.calls import Call, mark
from pipeline.workers.proposals import Rules, are_complete, company, differing, proposal

RULES = Rules(candidates=4, least=1, fitting=(1, 2, 4), rejoin_s=10)
ALL = {0, 1, 2, 3}


def calls(*present: int, deaf: set[tuple[int, int]] = frozenset(), waited: int = 0, **terms) -> dict[int, Call]:
    """Calls of those present. deaf: pairs of which the first does not hear the second. terms: of c2, say, a number."""
    hears = {k: frozenset(mark(f"life {j}") for j in present if (k, j) not in deaf) for k in present}
    return {k: Call(k, f"life {k}", 0, hears[k], _terms(k, terms), "", waited, None, False) for k in present}


def _terms(index: int, terms: dict) -> dict:
    return {"flags": {"seed": terms.get(f"c{index}", 1)}}


def proposed(all_calls: dict[int, Call], by: int, expected=ALL, has_record=True, rules=RULES) -> list[int]:
    return proposal(all_calls[by], {k: c for k, c in all_calls.items() if k != by}, rules, set(expected), has_record)


@pytest.mark.parametrize(
    ("present", "waited", "expected", "members"),
    [
        ((0, 1, 2, 3), 0, ALL, [0, 1, 2, 3]),
        ((0, 1, 2), 9, ALL, []),
        ((0, 1, 2), 10, ALL, [0, 1]),
        ((1, 2, 3), 10, ALL, [1, 2]),
        ((2,), 10, ALL, [2]),
        ((1, 3), 0, {1, 3}, [1, 3]),
        ((1, 2, 3), 0, {1, 3}, [1, 2]),
        ((1, 2), 0, {1, 3}, []),
    ],
)
def test_the_lowest_proposes_those_that_the_shards_allow_once_all_are_there_or_time_is_over(
    present, waited, expected, members
):
    all_calls = calls(*present, waited=waited)
    assert proposed(all_calls, min(present), expected) == members
    assert [proposed(all_calls, k, expected) for k in present[1:]] == [[]] * (len(present) - 1)


def test_fewer_than_the_least_are_no_job():
    assert proposed(calls(0, 1, 2, waited=99), 0, rules=Rules(4, 3, (1, 2, 4), 10)) == []


def test_where_no_run_lies_more_than_half_must_agree():
    assert proposed(calls(0, 1, waited=99), 0, has_record=False) == []
    assert proposed(calls(0, 1, 2, waited=99), 0, has_record=False) == [0, 1]


def test_only_those_that_all_hear_each_other_are_proposed():
    """1 and 2 do not reach each other; 3 reaches all."""
    apart = calls(0, 1, 2, 3, deaf={(1, 2)}, waited=10)
    assert company(apart[0], {k: apart[k] for k in (1, 2, 3)}, 4) == [0, 1, 3]
    assert proposed(apart, 0) == [0, 1]


def test_whoever_does_not_hear_the_lowest_does_not_follow_it():
    apart = calls(0, 1, 2, deaf={(1, 0), (2, 0)}, waited=10)
    assert (proposed(apart, 0), proposed(apart, 1)) == ([0], [1, 2])


def test_the_terms_of_most_prevail_and_of_equally_many_those_of_the_lowest():
    most = calls(0, 1, 2, c0=7, waited=10)
    assert (proposed(most, 0), proposed(most, 1)) == ([], [1, 2])
    assert differing(most[0], {1: most[1], 2: most[2]}) == 1
    equal = calls(0, 1, c1=7, waited=10)
    assert (proposed(equal, 0), proposed(equal, 1)) == ([0], [])
    assert (differing(equal[0], {1: equal[1]}), differing(equal[1], {0: equal[0]})) == (None, 0)


def test_of_many_those_that_the_lowest_hears_and_that_hear_it_are_proposed():
    """None of them hears another one; 20 does not hear the lowest."""
    present = range(3, 40)
    deaf = {(k, j) for k in present for j in present if 3 not in (k, j)} | {(20, 3)}
    apart = calls(*present, deaf=deaf, waited=10)
    rules = Rules(40, 1, tuple(range(1, 41)), 10)
    assert proposed(apart, 3, rules=rules) == [k for k in present if k != 20]
    assert proposed(apart, 4, rules=rules) == []
    others = {k: apart[k] for k in present if k != 3}
    assert not are_complete(apart[3], others, 37)
    assert are_complete(apart[3], {k: call for k, call in others.items() if k != 20}, 36)
    assert company(apart[3], others, 4) == [3, 4], "few must all hear each other"
