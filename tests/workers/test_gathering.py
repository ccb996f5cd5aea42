"""What one candidate of many says, and to whom; tests/runs/test_membership.py has several that find each other."""

import json
import socket
from types import SimpleNamespace

import pytest

from pipeline.engine.topology import Workers
from pipeline.workers import circle, datagrams, ports
from pipeline.workers.calls import Answer, Call, Membership, mark
from pipeline.workers.gathering import MOST_STRANGERS, Gathering
from pipeline.workers.proposals import Rules

COUNT, OWN = 100, 50
TERMS = {"flags": {"seed": 1}, "versions": {}}


@pytest.fixture
def sent(monkeypatch) -> list[tuple]:
    """The datagrams that are sent: where, and the call."""
    said: list[tuple] = []
    monkeypatch.setattr(
        datagrams, "send", lambda own, where, datagram: said.append((where, Call.read(json.loads(datagram))))
    )
    return said


@pytest.fixture
def candidate():
    [port] = ports.free(1)
    addresses = tuple(f"{ports.LOOPBACK}:{port if k == OWN else 1000 + k}" for k in range(COUNT))
    run = SimpleNamespace(claim=lambda: "")
    gathering = Gathering(Workers(addresses, OWN), TERMS, Rules(COUNT, 1, (1, 2)), 60, run, print)
    with gathering._socket:
        yield gathering


def call(index: int, *hears: str) -> dict:
    said = Call(index, f"life {index}", 1, frozenset(map(mark, hears)), TERMS, "", 0, None, False)
    return json.loads(said.datagram(b""))


def test_one_of_many_tells_those_that_it_calls_whether_it_hears_them_and_no_more(candidate, sent):
    candidate._take(call(3, candidate.life), ("127.0.0.1", 7))
    candidate._take(call(99, candidate.life), ("127.0.0.1", 8))
    candidate._call()
    called = circle.called(OWN, COUNT, {3, 99}, 1)
    assert len(called) == len(sent) == len(dict(sent)) == 64, "the first 32, 31 others in turn, and 99"
    assert {where: set(said.hears) for where, said in sent if said.hears} == {
        ("127.0.0.1", 7): {mark("life 3")},
        ("127.0.0.1", 8): {mark("life 99")},
    }


def test_a_running_job_that_is_heard_is_called_and_told_so_whoever_it_is(candidate, sent):
    answer = Answer("life of a chief", candidate.life, 1, None, 0, "")
    for k in range(MOST_STRANGERS + 10):
        candidate._take(json.loads(answer.datagram(b"")), ("127.0.0.1", 7))
        candidate._hear(f"of another {k}", ("127.0.0.1", 1000 + k))
    candidate._call()
    assert dict(sent)["127.0.0.1", 7].does_hear("life of a chief")
    assert len(sent) == len(circle.called(OWN, COUNT, (), 1)) + MOST_STRANGERS


def test_who_proposes_tells_all_members_and_who_accepts_the_name_alone(candidate, sent):
    for first, members in ((OWN, (OWN, 99)), (3, (3, OWN))):
        whole = Membership("name", members, tuple(map(mark, ("one", "two"))))
        candidate._accept(whole)
        sent.clear()
        candidate._call()
        assert {said.membership for _, said in sent} == {whole if first == OWN else whole.named}


def test_few_candidates_tell_all_others_whom_they_hear(sent):
    [port] = ports.free(1)
    few = Workers(tuple(f"{ports.LOOPBACK}:{port + k}" for k in range(3)), 0)
    gathering = Gathering(few, TERMS, Rules(3, 1, (1, 2)), 60, SimpleNamespace(), print)
    with gathering._socket as own:
        assert own.type == socket.SOCK_DGRAM
        gathering._take(call(1), ("127.0.0.1", 7))
        gathering._call()
    assert [where for where, _ in sent] == [("127.0.0.1", 7), few.addresses[2]]
    assert {said.hears for _, said in sent} == {frozenset({mark("life 1")})}
