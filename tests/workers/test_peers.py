"""Workers that speak with each other over real sockets: several in this process, on free ports."""

import concurrent.futures
import itertools
import socket
import time

import pytest
from company import SOON_S, eventually, meet, met, word

from pipeline.engine.topology import Workers
from pipeline.errors import DivergedError, ExitCode, PeerLostError, PreemptedError, UsageError
from pipeline.workers import ports
from pipeline.workers.peers import LATECOMERS_S, PULSE_S, Peers

NOWHERE = f"{ports.LOOPBACK}:1"


# --- meeting ---


@pytest.mark.parametrize("count", [2, 5])
def test_all_get_the_hello_of_each_in_the_order_of_their_indices(job, count):
    met(job, count)


def test_those_who_are_there_wait_for_one_who_comes_later(job):
    company = job(3)
    early = [company.come(index) for index in (0, 1)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        meetings = [pool.submit(peers.meet, {"name": k}, SOON_S) for k, peers in enumerate(early)]
        time.sleep(1)
        assert not any(meeting.done() for meeting in meetings)
        meetings.append(pool.submit(company.come(2).meet, {"name": 2}, SOON_S))
        assert [meeting.result() for meeting in meetings] == [[{"name": 0}, {"name": 1}, {"name": 2}]] * 3


def test_whoever_is_missing_is_named(job):
    company = job(4)
    errors = meet(company.come(0), company.come(1), timeout_s=1)
    missing = f"worker 2 ({company.addresses[2]}), worker 3 ({company.addresses[3]}) did not come within 1 s"
    assert [str(error).partition(";")[0] for error in errors] == [missing] * 2
    assert all(isinstance(error, PeerLostError) and "--start_timeout" in str(error) for error in errors)


def test_nobody_goes_on_before_all_have_met_all(job):
    """The first hears both others; of these, neither has the right address of the other."""
    company = job(3)
    first, second, third = company.addresses
    workers = [company.come(0), company.come(1, (first, second, NOWHERE)), company.come(2, (first, NOWHERE, third))]
    assert [type(error) for error in meet(*workers, timeout_s=1.5)] == [PeerLostError] * 3


def test_one_who_leaves_in_the_meeting_takes_the_others_with_it_and_says_why(job):
    company = job(3)
    workers = [company.come(index) for index in range(3)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        meetings = [pool.submit(peers.meet, {}, SOON_S) for peers in workers[:2]]
        workers[2].leave(UsageError("steps=0 is too small"))
        errors = [meeting.exception() for meeting in meetings]
    assert [type(error) for error in errors] == [UsageError] * 2
    assert {str(error) for error in errors} == {f"worker 2 ({company.addresses[2]}): steps=0 is too small"}


def test_one_who_comes_after_a_user_error_is_told_of_it_and_nobody_waits_longer(job):
    company, started = job(2), time.monotonic()

    def come_and_leave():
        first = company.come(0)
        first.leave(UsageError("steps=0 is too small"))
        first.close()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(come_and_leave)
        time.sleep(2)
        late = company.come(1)
        with pytest.raises(UsageError, match="steps=0 is too small") as raised:
            late.meet({}, SOON_S)
        late.leave(raised.value)
        leaving.result()
    assert time.monotonic() - started < LATECOMERS_S


@pytest.mark.parametrize("error", [PeerLostError("worker 1 did not come"), PreemptedError("SIGTERM")])
def test_for_one_who_does_not_come_nobody_waits_to_say_what_a_new_start_would_mend(job, error):
    started = time.monotonic()
    job(2).come(0).leave(error)
    assert time.monotonic() - started < LATECOMERS_S / 2


def test_a_stop_ends_the_waiting_at_once(job):
    started = time.monotonic()
    with pytest.raises(PreemptedError, match="stopped while not all workers had come"):
        job(2).come(0).meet({}, 60, stop=lambda: time.monotonic() > started + 0.5)
    assert time.monotonic() - started < SOON_S


def test_one_who_is_started_again_before_all_have_met_is_met_as_the_new_one(job):
    company = job(3)
    early = [company.come(index) for index in (0, 1)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        first = pool.submit(early[0].meet, {"name": 0}, SOON_S)
        killed = pool.submit(early[1].meet, {"name": "before"}, 1)
        assert eventually(lambda: early[0].silent())
        company.leave_without_a_word(early[1], 1)
        again, last = company.come(1), company.come(2)
        others = [pool.submit(again.meet, {"name": 1}, SOON_S), pool.submit(last.meet, {"name": 2}, SOON_S)]
        assert [meeting.result() for meeting in (first, *others)] == [[{"name": 0}, {"name": 1}, {"name": 2}]] * 3
    assert isinstance(killed.exception(), PeerLostError)


def test_an_address_without_a_host_is_a_worker_that_is_missing(job):
    addresses = (job(1).addresses[0], "no-such-host.invalid:9000")
    peers = Peers(Workers(addresses, 0), lambda: {})
    try:
        with pytest.raises(PeerLostError, match=r"worker 1 \(no-such-host.invalid:9000\) did not come within 1 s"):
            peers.meet({}, 1)
    finally:
        peers.close()


# --- afterwards ---


def test_a_farewell_reaches_all_with_its_code_and_its_message(job):
    company, workers = met(job, 3)
    assert [peers.farewell() for peers in workers] == [None] * 3
    workers[1].leave(DivergedError("at step 7 the loss is nan"))
    for peers in (workers[0], workers[2]):
        assert eventually(peers.farewell)
        error = peers.farewell()
        assert (type(error), error.code) == (DivergedError, ExitCode.DIVERGED)
        assert str(error) == f"worker 1 ({company.addresses[1]}): at step 7 the loss is nan"
    assert workers[1].farewell() is None


def test_only_whoever_is_silent_counts_as_silent(job):
    company, workers = met(job, 3)
    company.leave_without_a_word(workers[2], 2)
    assert eventually(lambda: workers[0].silent()[2] > 2 * PULSE_S)
    for peers, other in ((workers[0], 1), (workers[1], 0)):
        silent = peers.silent()
        assert silent.keys() == {other, 2}
        assert silent[other] < 1.9 * PULSE_S < silent[2]


def test_everyone_knows_where_all_are(job):
    _, workers = met(job, 3)
    for peers in workers:
        assert eventually(lambda p=peers: p.statuses() == {0: {"step": 0}, 1: {"step": 10}, 2: {"step": 20}})


def test_one_who_was_met_and_is_started_again_is_lost_and_the_new_one_waits(job):
    company, workers = met(job, 2)
    company.leave_without_a_word(workers[1], 1)
    again = company.come(1)
    with pytest.raises(PeerLostError):
        again.meet({}, 2)
    assert isinstance(workers[0].farewell(), PeerLostError)
    assert "was started anew, so the process before it is gone" in str(workers[0].farewell())


# --- earlier lives ---


@pytest.mark.parametrize("hears", ["the life before", ""])
def test_a_worker_of_an_earlier_life_of_the_job_is_not_heard(job, hears):
    """A cut link kept it from its end; now it is back, and speaks to the process that was here before this one."""
    company = job(3)
    workers = [company.come(index) for index in (0, 1)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        meetings = [pool.submit(peers.meet, {"name": k}, 2) for k, peers in enumerate(workers)]
        numbers = itertools.count()
        while not all(meeting.done() for meeting in meetings):
            company.say(0, word(worker=2, hears=hears, number=next(numbers)))
            time.sleep(0.05)
    missing = f"worker 2 ({company.addresses[2]}) did not come within 2 s"
    assert [str(meeting.exception()).partition(";")[0] for meeting in meetings] == [missing] * 2

    company, workers = met(job, 2)
    for number in range(5):
        company.say(0, word(hears=hears, number=number))
    time.sleep(0.2)
    assert workers[0].farewell() is None and workers[0].statuses()[1] == {"step": 10}


def test_that_a_worker_of_an_earlier_life_has_met_all_does_not_count(job):
    company = job(3)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        meeting = pool.submit(company.come(0).meet, {"name": 0}, 1.5)
        hears = company.life_of(0, as_worker=1)
        company.say(0, word(hears=hears, met=False, farewell=None))
        time.sleep(0.5)
        company.say(0, word(life="before", hears="the life before", met=True, farewell=None))
        company.say(0, word(worker=2, hears=hears, met=True, farewell=None))
        assert isinstance(meeting.exception(), PeerLostError)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_named(job, kind):
    address = job(1).addresses[0]
    host, port = address.split(":")
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("", int(port)))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        with pytest.raises(UsageError, match=f"port {port} of {host} cannot be used .*; end what uses it, or give"):
            Peers(Workers((address, "h2:9000"), 0), lambda: {})
