"""What workers listen to and what not: others' words, their secret, their addresses."""

import concurrent.futures
import time
from pathlib import Path

import pytest
from company import Company, eventually, meet, met, word

from pipeline.engine.topology import Workers
from pipeline.errors import DivergedError, PeerLostError
from pipeline.process.environment import JOB_SECRET
from pipeline.workers import ports
from pipeline.workers.peers import Peers
from pipeline.workers.words import sealed

NOWHERE = f"{ports.LOOPBACK}:1"


# --- what others say ---


GARBAGE = [
    *(b"", b"\xff\x00", b"5", b"[]", b"{}", b'{"worker": 1}', b"pipeline preflight"),
    *(word(worker=worker) for worker in ([], {}, "1", 1.5, None, -1, 0, 2, 10**9)),
    *(word(unknown=1), word(hears=[]), word(hears={}), word(hears=None), word()[:-5]),
    *(b"[" * 60000, b'{"worker":' * 6000, b"1" * 60000, word(number=10**400), word(status=[]), word(farewell={})),
]


def test_what_no_worker_says_changes_nothing(job):
    company = job(2)
    workers = [company.come(0), company.come(1)]
    for datagram in GARBAGE:
        company.say(0, datagram)
    assert meet(*workers) == [[{"name": 0}, {"name": 1}]] * 2
    for datagram in GARBAGE:
        company.say(0, datagram)
    time.sleep(0.2)
    assert workers[0].farewell() is None and workers[0].silent().keys() == {1}
    workers[1].leave(DivergedError("still heard"))
    assert isinstance(workers[0].farewell(), DivergedError)


def test_a_status_of_another_shape_is_left_out(job):
    """Before the meeting anyone may speak for a worker; whoever reads statuses relies on their shape."""
    company = job(2)
    peers = company.come(0)
    for number, status in enumerate(({}, {"step": "ten"}, {"step": None}, {"step": 1, "more": 2})):
        company.say(0, word(life=f"{number}", status=status))
        assert eventually(lambda life=f"{number}": peers._words.get(1) and peers._words[1].life == life)
        assert peers.statuses() == {0: {"step": 0}}
    company.say(0, word(life="true", status={"step": 7}))
    assert eventually(lambda: peers.statuses() == {0: {"step": 0}, 1: {"step": 7}})


@pytest.mark.parametrize("hello", [{}, {"name": "one"}, {"name": 1, "more": 2}, {"other": 1}])
def test_a_hello_of_another_shape_is_no_workers(job, hello):
    company = job(2)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        meeting = pool.submit(company.come(0).meet, {"name": 0}, 1)
        hears = company.life_of(0, as_worker=1)
        for number in range(3):
            company.say(0, word(hears=hears, number=number, hello=hello, farewell=None))
        assert isinstance(meeting.exception(), PeerLostError)


def test_a_farewell_is_printed_without_control_characters(job):
    company = job(2)
    peers = company.come(0)
    hears = company.life_of(0, as_worker=1)
    company.say(0, word(hears=hears, farewell={"code": 70, "message": "\x1b[2J\u202enan"}))
    assert eventually(peers.farewell)
    assert str(peers.farewell()).endswith(": ?[2J?nan")


def test_words_that_were_overtaken_or_are_said_again_change_nothing(job):
    company = job(2)
    peers = company.come(0)

    def step_after(said: bytes) -> int:
        company.say(0, said)
        time.sleep(0.1)
        return peers.statuses()[1]["step"]

    assert step_after(word(life="a", number=5, status={"step": 5})) == 5
    assert step_after(word(life="a", number=4, status={"step": 4})) == 5
    assert step_after(word(life="a", number=5, status={"step": 6})) == 5
    assert step_after(word(life="a", number=6, status={"step": 7})) == 7
    assert step_after(word(life="b", number=0, status={"step": 1})) == 1, "the process was started anew"
    assert step_after(word(life="a", number=9, status={"step": 9})) == 1, "the process before it is gone"


# --- the job's secret ---


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv(JOB_SECRET, "of this job\n")
    return b"of this job"


def test_workers_that_share_a_secret_meet_and_hear_nobody_else(job, secret):
    company, workers = met(job, 2)
    hears = workers[0]._life
    company.say(0, word(life=workers[1]._life, number=10**6, hears=hears))
    company.say(0, sealed(word(life=workers[1]._life, number=10**6, hears=hears), b"of another job"))
    time.sleep(0.3)
    assert workers[0].farewell() is None
    company.say(0, sealed(word(life=workers[1]._life, number=10**6, hears=hears), secret))
    assert eventually(workers[0].farewell), "the sealed word would have counted"


def test_workers_with_different_secrets_are_told_to_make_them_equal(job, monkeypatch):
    company, workers = job(2), []
    for index, key in enumerate(("one", "")):
        monkeypatch.setenv(JOB_SECRET, key)
        workers.append(company.come(index))
    error, _ = meet(*workers, timeout_s=1)
    assert isinstance(error, PeerLostError)
    assert f"that {JOB_SECRET} is the same (messages with another one came)" in str(error)


# --- where it listens ---


def is_local(port: int, table: str) -> list[str]:
    """The addresses, as /proc has them, that a table of sockets names for a port."""
    rows = [line.split()[1].split(":") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return [host for host, at in rows if int(at, 16) == port]


def test_it_listens_on_its_own_address_alone(job):
    company, _ = met(job, 2)
    for address in company.addresses:
        assert is_local(int(address.rpartition(":")[2]), "udp") == ["0100007F"]  # 127.0.0.1
        assert is_local(int(address.rpartition(":")[2]), "udp6") == []


def test_workers_of_ipv6_meet(job):
    company = Company(2, job(0)._closing)
    company.addresses = tuple(f"[::1]:{port}" for port in ports.free(2))
    workers = [company.come(index) for index in range(2)]
    assert meet(*workers) == [[{"name": 0}, {"name": 1}]] * 2
    assert [len(is_local(int(address.rpartition(":")[2]), "udp6")) for address in company.addresses] == [1, 1]


@pytest.mark.parametrize("own", ["no-such-host.invalid", "192.0.2.1", "127.0.0.1"])
def test_where_its_address_is_not_this_hosts_it_listens_on_all(job, own):
    """A name that does not resolve; an address that is translated on its way; a loopback among several hosts."""
    [port] = ports.free(1)
    peers = Peers(Workers((f"{own}:{port}", "192.0.2.7:9000"), 0), lambda: {})
    try:
        assert is_local(port, "udp") == ["00000000"]
    finally:
        peers.close()
