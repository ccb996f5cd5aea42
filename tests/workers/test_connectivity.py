"""The preflight's questions and answers over real sockets: two workers in this process, and strangers."""

import concurrent.futures
import contextlib
import json
import socket
from collections.abc import Iterator

import pytest

from pipeline.engine.topology import Workers
from pipeline.process.environment import JOB_SECRET
from pipeline.workers import fingers, ports
from pipeline.workers.connectivity import RollCall
from pipeline.workers.words import sealed

REPORT = {"facts": "of a worker"}


@pytest.fixture(params=["127.0.0.1", "[::1]"])
def addresses(request) -> tuple[str, ...]:
    return tuple(f"{request.param}:{port}" for port in ports.free(2))


@contextlib.contextmanager
def calls(addresses: tuple[str, ...]) -> Iterator[list[RollCall]]:
    both = [RollCall(Workers(addresses, index), {"mark": f"of {index}"}, timeout_s=1) for index in range(2)]
    with both[0].listening(), both[1].listening():
        yield both


def say(address: str, line: bytes) -> bytes:
    """What a stranger is answered over TCP."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), 5) as connection:
        connection.sendall(line + b"\n")
        with contextlib.suppress(ConnectionResetError):
            return connection.makefile("rb").readline()
    return b""


def assert_they_agree(chief: RollCall, other: RollCall) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = [found.result() for found in [pool.submit(call.ask) for call in (chief, other)]]
        assert [(k, way, said["mark"]) for answer in answers for k, (way, said) in answer.items()] == [
            (1, "ok", "of 1"),
            (0, "ok", "of 0"),
        ]
        assert all(abs(said["ahead"]) < 2 for answer in answers for _, said in answer.values())
        verdict = pool.submit(other.verdict_on, REPORT)
        assert chief.reports() == {1: REPORT}
        chief.conclude(65)
        assert verdict.result() == 65


@pytest.mark.parametrize("secret", ["", "of this job"])
def test_workers_answer_each_other_whatever_strangers_say(addresses, secret, monkeypatch, capfd):
    monkeypatch.setenv(JOB_SECRET, secret)
    with calls(addresses) as (chief, other):
        for line in (b"", b"\xff", b"[]", b"5", b"[" * 60000, b"GET / HTTP/1.1", b"9" * 5000, b"{" * 2_000_000):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                assert say(addresses[0], line) == b""
        for index in (None, "1", 0, 2, -1, 1.0, True, [], 10**30):
            say(addresses[0], sealed(json.dumps({"index": index, "report": REPORT}).encode(), secret.encode()))
        assert_they_agree(chief, other)
    assert capfd.readouterr().err == ""


def test_without_the_secret_nothing_is_told_and_nothing_is_taken(addresses, monkeypatch):
    monkeypatch.setenv(JOB_SECRET, "of this job")
    with calls(addresses) as (chief, other):
        question = json.dumps({"index": 1, "report": "forged"}).encode()
        assert [say(addresses[0], line) for line in (b"{}", question, sealed(question, b"another"))] == [b""] * 3
        assert say(addresses[0], sealed(b"{}", b"of this job")) != b""
        assert_they_agree(chief, other)


def test_of_many_each_asks_its_contacts_alone(monkeypatch):
    """Twelve that count as many; together they make W log W connections, and all report to the chief."""
    monkeypatch.setattr(fingers, "ALL_TO_ALL", 4)
    addresses = tuple(f"127.0.0.1:{port}" for port in ports.free(12))
    crew = [RollCall(Workers(addresses, index), {"mark": f"of {index}"}, timeout_s=30) for index in range(12)]
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(12) as pool:
        for call in crew:
            stack.enter_context(call.listening())
        for index, answers in enumerate(pool.map(RollCall.ask, crew)):
            assert {k: (way, said["mark"]) for k, (way, said) in answers.items()} == {
                k: ("ok", f"of {k}") for k in fingers.contacts(index, 12)
            }
        verdicts = [pool.submit(call.verdict_on, REPORT) for call in crew[1:]]
        assert crew[0].reports() == dict.fromkeys(range(1, 12), REPORT)
        crew[0].conclude(0)
        assert [verdict.result() for verdict in verdicts] == [0] * 11
