"""The messages of candidates: they come as they were sent, fit a datagram, and nothing else is taken for one."""

import dataclasses
import json

import pytest

from pipeline.workers.calls import MOST_CANDIDATES, Answer, Call, Membership, mark
from pipeline.workers.datagrams import LARGEST_DATAGRAM

LIVES = [f"{k:032x}" for k in range(MOST_CANDIDATES)]
TERMS = {"flags": {f"flag {k}": k for k in range(100)}, "versions": {"python": "3.11.7"}}


def membership(count: int) -> Membership:
    return Membership("a" * 32, tuple(range(count)), tuple(map(mark, LIVES[:count])))


def call(count: int, candidate: int = 0) -> Call:
    return Call(
        candidate, LIVES[candidate], 3, frozenset(map(mark, LIVES[:count])), TERMS, "", 7, membership(count), True
    )


def read(datagram: bytes) -> Call | None:
    return Call.read(json.loads(datagram))


@pytest.mark.parametrize("count", [1, 2, 32, 1024])
def test_a_call_comes_as_it_was_sent(count):
    assert read(call(count).datagram(b"")) == call(count)
    answer = Answer("a", "b", count, membership(count), 0, "")
    assert Answer.read(json.loads(answer.datagram(b""))) == answer


def test_a_call_to_one_of_most_fits_a_datagram_and_one_that_names_a_job_is_small():
    proposer, member = (call(MOST_CANDIDATES, k).to_one_of_many(LIVES[:2]) for k in (0, 1))
    assert proposer.does_hear(LIVES[1]) and not proposer.does_hear(LIVES[2])
    assert len(proposer.datagram(b"x")) < 0.6 * LARGEST_DATAGRAM
    assert len(member.datagram(b"x")) < 2500
    assert read(proposer.datagram(b"")).membership == membership(MOST_CANDIDATES)
    assert read(member.datagram(b"")).membership == membership(MOST_CANDIDATES).named
    assert len(call(1024).to_one_of_many(LIVES[:2]).datagram(b"x")) < 11_000


def test_a_membership_has_its_members_processes_and_no_others():
    two = Membership("name", (1, 5), (mark("one"), mark("five")))
    asked = ((1, "one"), (5, "five"), (1, "five"), (2, "one"), (1, "anew"))
    assert [two.has(*who) for who in asked] == [True, True, False, False, False]
    assert not two.named.has(1, "one")


GOOD = json.loads(call(2).datagram(b""))["call"]


@pytest.mark.parametrize(
    "change",
    [
        *({"hears": value} for value in (None, 5, [], "abc", "0" * 8 * (MOST_CANDIDATES + 1))),
        *({"membership": value} for value in (5, [], {}, {"name": "a"})),
        *({"membership": {"name": "a", "members": m, "marks": "0" * 8}} for m in (None, 1, "", "-1", "g", "3", "0x1")),
        *({"membership": {"name": "a", "members": "1", "marks": m}} for m in (None, 1, "", "0", "0" * 16, ["0" * 8])),
        {"membership": {"name": "a", "members": "1" * 1025, "marks": ""}},
        {"candidate": -1},
        {"more": 1},
    ],
)
def test_what_is_no_call_is_not_taken(change):
    assert Call.read({"call": GOOD}) == call(2)
    assert Call.read({"call": GOOD | change}) is None
    assert Call.read([GOOD]) is None


def test_terms_are_equal_where_their_texts_are():
    turned = dataclasses.replace(call(2), terms=dict(reversed(TERMS.items())))
    assert turned.terms_text == call(2).terms_text != dataclasses.replace(call(2), terms={}).terms_text
