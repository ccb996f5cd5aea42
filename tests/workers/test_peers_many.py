"""Many workers, of which each speaks to some: over real sockets, all in this process."""

import concurrent.futures
import time

import pytest
from company import eventually, meet

from pipeline.engine.topology import Workers
from pipeline.errors import DivergedError, PeerLostError, UsageError
from pipeline.workers import datagrams, fingers
from pipeline.workers import peers as peers_module
from pipeline.workers.hearsay import SUPPOSED_GONE_S
from pipeline.workers.peers import PULSE_S, Peers

COUNT = 40
LARGEST_WORD = 600  # bytes, of any number of workers
PATIENCE_S = 60.0  # for forty workers in one process, on a busy machine


def at_length(condition) -> bool:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up and not condition():
        time.sleep(0.1)
    return bool(condition())


@pytest.fixture
def crowd(job):
    """Forty that have met, each of which saw the hellos of its neighbours and of the chief."""
    company = job(COUNT)
    workers = [company.come(index) for index in range(COUNT)]
    met = meet(*workers, timeout_s=PATIENCE_S)
    for index, hellos in enumerate(met):
        near = {0, index, *fingers.neighbours(index, COUNT)}
        assert hellos == [{"name": k} if k in near else None for k in range(COUNT)]
    return company, workers


def test_all_hear_of_all_and_the_first_farewell_ends_them_all_by_name(crowd, monkeypatch):
    company, workers = crowd
    sizes: list[int] = []

    def send(own, where, datagram):
        sizes.append(len(datagram))
        datagrams.send(own, where, datagram)

    monkeypatch.setattr(peers_module, "send", send)
    others = [set(range(COUNT)) - {index} for index in range(COUNT)]
    assert [peers.silent().keys() for peers in workers] == others
    assert [peers.farewell() for peers in workers] == [None] * COUNT
    # Each knows of its neighbours where they are; the chief of everyone, before long.
    assert workers[20].fresh_statuses().keys() >= {20, *fingers.neighbours(20, COUNT)}
    assert at_length(lambda: workers[0].statuses() == {k: {"step": 10 * k} for k in range(COUNT)})
    assert workers[0].fresh_statuses().keys() != set(range(COUNT))
    assert at_length(lambda: sizes and max(sizes[-COUNT:]) < LARGEST_WORD), "once all have met, nobody is told of"

    company.leave_without_a_word(workers[7], 7)
    living = [peers for index, peers in enumerate(workers) if index != 7]
    near = [workers[index] for index in fingers.neighbours(7, COUNT)]
    assert at_length(lambda: all(peers._hearsay.silent()[7] > 3 * PULSE_S for peers in living))
    assert at_length(lambda: all(max(s for k, s in peers.silent().items() if k != 7) < 3 for peers in living))
    assert at_length(lambda: {7} == {k for peers in near for k, s in peers.silent().items() if s > 3 * PULSE_S})

    far = next(k for k in range(COUNT) if k not in (0, 7, 33, *fingers.neighbours(33, COUNT)))
    workers[33].leave(DivergedError("at step 7 the loss is nan"))
    assert at_length(lambda: all(peers.farewell() for peers in living if peers is not workers[33]))
    told = {(type(error), str(error)) for error in (p.farewell() for p in living if p is not workers[33])}
    assert told == {(DivergedError, f"worker 33 ({company.addresses[33]}): at step 7 the loss is nan")}
    workers[far].leave(PeerLostError("later"))
    assert workers[33].farewell() is None and str(workers[0].farewell()).endswith("nan")


# --- fewer, who are many as well ---


@pytest.fixture
def some(job, monkeypatch):
    """Twelve that count as many: each speaks to six."""
    monkeypatch.setattr(fingers, "ALL_TO_ALL", 4)
    return job(12)


def test_whoever_is_missing_is_named_by_all(some):
    workers = [some.come(index) for index in range(12) if index != 6]
    errors = meet(*workers, timeout_s=4)
    assert {str(error).partition(";")[0] for error in errors} == {
        f"worker 6 ({some.addresses[6]}) did not come within 4 s"
    }


def test_two_who_differ_end_all_before_anyone_has_met(some):
    """Workers 3 and 5 are no neighbours of each other, nor 5 of 0."""

    def check(own: int):
        def look(index: int, hello: dict) -> None:
            if hello["name"] != own:
                raise UsageError(f"{index} has {hello['name']}")

        return look

    def come(index: int):
        peers, name = some.come(index), int(index == 5)
        try:
            return peers.meet({"name": name}, PATIENCE_S, check=check(name))
        except UsageError as error:
            peers.leave(error)
            return error

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        ends = list(pool.map(come, range(12)))
    assert {type(end) for end in ends} == {UsageError}
    assert len({str(end) for end in ends}) < 12, "those that see no difference themselves pass one on"


def test_one_who_is_started_again_before_all_have_met_is_met_as_the_new_one(some):
    early = [some.come(index) for index in range(11)]
    with concurrent.futures.ThreadPoolExecutor(13) as pool:
        meetings = [pool.submit(p.meet, {"name": k}, PATIENCE_S) for k, p in enumerate(early) if k != 5]
        killed = pool.submit(early[5].meet, {"name": 5}, 3)
        assert eventually(lambda: 5 in early[8].silent()), "by others' words"
        some.leave_without_a_word(early[5], 5)
        time.sleep(SUPPOSED_GONE_S)  # a process needs longer to start
        meetings += [pool.submit(some.come(index).meet, {"name": index}, PATIENCE_S) for index in (5, 11)]
        assert all({None} != {*map(str, meeting.result())} for meeting in meetings)
    assert isinstance(killed.exception(), PeerLostError)


def test_one_who_was_met_and_is_started_again_is_lost_to_all(some):
    workers = [some.come(index) for index in range(12)]
    meet(*workers, timeout_s=PATIENCE_S)
    some.leave_without_a_word(workers[5], 5)
    again = Peers(Workers(some.addresses, 5), lambda: {"step": 50})
    try:
        living = [peers for index, peers in enumerate(workers) if index != 5]
        assert at_length(lambda: all(peers.farewell() for peers in living))
        assert all("worker 5" in str(p.farewell()) and "was started anew" in str(p.farewell()) for p in living)
    finally:
        again.close()
