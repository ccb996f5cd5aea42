"""Candidates that gather around a run directory: several in this process, over real sockets, without TensorFlow."""

import concurrent.futures
import contextlib
import functools
import json
import time
from pathlib import Path

import pytest
from company import eventually

from pipeline.config import Config
from pipeline.engine.topology import Workers
from pipeline.errors import DivergedError, PeerLostError, PipelineError, PreemptedError, StorageError, UsageError
from pipeline.process.preemption import Preemption
from pipeline.runs import membership
from pipeline.runs.membership import Place
from pipeline.runs.ownership import Ownership
from pipeline.runs.run_directory import RunDirectory
from pipeline.workers import circle, datagrams, ports
from pipeline.workers.gathering import Gathering
from pipeline.workers.peers import Peers

NEVER = 30  # seconds: longer than a test waits


class Candidates:
    """The processes of a job that may shrink and grow, each in a thread."""

    def __init__(self, closing: contextlib.ExitStack, path: Path, count: int, **fields):
        self.addresses = [f"{ports.LOOPBACK}:{port}" for port in ports.free(count)]
        usual = {"min_workers": 1, "rejoin_timeout": 1, "start_timeout": NEVER, "grad_shards": 4, "quiet": True}
        self.asked = Config(
            **{**usual, **fields}, model="dense", run_dir=str(path), worker_addresses=",".join(self.addresses)
        )
        self.directory, self._closing = RunDirectory(path), closing
        self._pool = closing.enter_context(concurrent.futures.ThreadPoolExecutor(count))
        self.stop = Preemption()
        closing.callback(lambda: self.stop.ask("the end of the test"))

    def record(self, *members: int, result: int | None = None) -> None:
        """Makes the run directory of a run whose last start had these members."""
        self.directory.path.mkdir()
        self.directory.record(self.asked)
        told = [self.addresses[k] for k in members]
        lines = [{"event": "start", "step": 0, "time": 1.0, "members": told, "candidates": self.addresses}]
        lines += [{"event": "result", "step": result, "time": 2.0}] if result is not None else []
        self.directory.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def come(self, index: int, **fields) -> concurrent.futures.Future[Place]:
        """A candidate, perhaps with other flags."""
        own = Config(**{**vars(self.asked), "worker_index": index, **fields})
        return self._pool.submit(lambda: self._closing.enter_context(membership.settled(own, self.stop)))

    def work(self, place: Place) -> Peers:
        """What hears others once a member has begun to work; the chief owns the run directory."""
        assert place.newcomers and bool(place.ownership) == place.workers.is_chief
        if place.ownership:
            place.newcomers.owner = place.ownership.mark
        peers = Peers(place.workers, dict, place.newcomers)
        self._closing.callback(peers.close)
        return peers

    def members(self, place: Place) -> list[int]:
        return [self.addresses.index(address) for address in place.workers.addresses]


@pytest.fixture
def candidates(tmp_path):
    with contextlib.ExitStack() as closing:
        yield lambda count, **fields: Candidates(closing, tmp_path / "run", count, **fields)


def error_of(coming: concurrent.futures.Future) -> PipelineError:
    with pytest.raises(PipelineError) as raised:
        coming.result(NEVER)
    return raised.value


def test_all_that_come_are_the_job_at_once(candidates):
    job = candidates(4, rejoin_timeout=NEVER)
    places = [coming.result() for coming in [job.come(index) for index in range(4)]]
    assert [(job.members(place), place.workers.index) for place in places] == [([0, 1, 2, 3], k) for k in range(4)]
    assert all(list(place.workers.candidates) == job.addresses for place in places)


def test_without_one_the_others_are_as_many_as_the_shards_allow_and_one_is_spare(candidates):
    job = candidates(4)
    job.record(0, 1, 2, 3)
    began = time.monotonic()
    second, third, spare = (job.come(index) for index in (1, 2, 3))
    assert [job.members(coming.result()) for coming in (second, third)] == [[1, 2]] * 2
    assert time.monotonic() - began > job.asked.rejoin_timeout
    assert second.result().workers.is_chief and not spare.done()


def test_who_was_missing_at_the_last_start_is_not_waited_for_again(candidates):
    job = candidates(3, rejoin_timeout=NEVER)
    job.record(1, 2)
    assert [job.members(coming.result()) for coming in [job.come(1), job.come(2)]] == [[1, 2]] * 2


@pytest.mark.parametrize(("least", "has_record"), [(2, True), (1, False)])
def test_too_few_wait_and_say_for_whom(candidates, least, has_record):
    """Too few for --min_workers; or no more than half, and the run directory may be another disk than the others'."""
    job = candidates(2, min_workers=least, start_timeout=2)
    if has_record:
        job.record(0, 1)
    error = error_of(job.come(0))
    assert isinstance(error, PeerLostError)
    assert f"worker 1 ({job.addresses[1]}) did not come within 2 s, and 1 of at least 2 workers is here" in str(error)


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_spare_with_other_flags_ends_and_the_others_go_on(candidates, wrong):
    job = candidates(3, min_workers=2)
    others = [job.come(index) for index in {0, 1, 2} - {wrong}]
    error = error_of(job.come(wrong, seed=7))
    assert isinstance(error, UsageError) and "were started with different flags: seed 7 and 1; make them" in str(error)
    assert [len(coming.result().workers.addresses) for coming in others] == [2, 2]


def test_two_that_differ_and_are_both_needed_end_both(candidates):
    job = candidates(2, min_workers=2)
    errors = [error_of(coming) for coming in [job.come(0), job.come(1, seed=7)]]
    assert [type(error) for error in errors] == [UsageError] * 2
    assert "workers 0 and 1 were started with different flags: seed 1 and 7" in str(errors[0])


def test_a_configuration_that_is_not_the_recorded_one_is_refused_alone(candidates):
    job = candidates(2)
    job.record(0, 1)
    assert "was started with another configuration (seed: 1 -> 7)" in str(error_of(job.come(1, seed=7)))


def test_an_owner_that_lives_is_waited_for(candidates):
    """The other half of a partition trains."""
    job = candidates(2, start_timeout=2)
    job.record(0, 1)
    with Ownership(job.directory.lock, None).held():
        error = error_of(job.come(1))
    assert isinstance(error, StorageError) and "belongs to a live run (process " in str(error)


def test_of_two_that_do_not_hear_each_other_one_owns_the_run(candidates):
    """The first is silent once it is the job, as while it loads TensorFlow."""
    job = candidates(2)
    job.record(0, 1)
    assert job.come(1).result().ownership
    other = job.come(0)
    time.sleep(3 * job.asked.rejoin_timeout)
    assert not other.done()


def test_a_finished_run_and_a_stop_end_the_wait(candidates):
    job = candidates(2, rejoin_timeout=NEVER, steps=10)
    job.record(0, 1, result=10)
    assert job.come(1).result().newcomers is None
    waits = job.come(0, steps=20)
    job.stop.ask("SIGTERM")
    assert isinstance(error_of(waits), PreemptedError)


def test_a_job_hears_a_newcomer_and_may_be_larger_by_it(candidates):
    job = candidates(2, start_timeout=2)
    job.record(0)
    alone = job.come(0).result()
    job.work(alone)
    newcomer = job.come(1)
    assert eventually(lambda: len(alone.newcomers.to_take_in(())) == 1)
    [life] = alone.newcomers.to_take_in(())
    assert alone.newcomers.addresses_of([life], job.addresses) == [job.addresses[1]]
    assert alone.newcomers.to_take_in({life}) == [], "it was asked in lately, and did not come"
    time.sleep(1.5 * job.asked.start_timeout)
    assert not newcomer.done(), "it waits for as long as the job runs"
    assert alone.newcomers.end(DivergedError("the loss is nan"))
    error = error_of(newcomer)
    assert isinstance(error, DivergedError) and str(error) == "the loss is nan"


def test_a_newcomer_that_makes_no_larger_job_possible_only_waits(candidates):
    job = candidates(3)
    job.record(0, 1)
    places = [coming.result() for coming in [job.come(0), job.come(1)]]
    job.work(places[0]), job.work(places[1])
    job.come(2)
    assert eventually(lambda: any(newcomer.at > 0 for newcomer in places[0].newcomers._seen.values()))
    assert places[0].newcomers.to_take_in(()) == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"seed": 7}, "this worker and the running job were started with different flags: seed 7 and 1"),
        ({"towers": 2}, "were started with different versions: towers 2 and 1"),
        ({"run_dir": "elsewhere"}, "--run_dir is not the directory of the running job"),
    ],
)
def test_a_newcomer_that_does_not_fit_is_sent_away(candidates, fields, why, monkeypatch, tmp_path):
    monkeypatch.setattr("pipeline.workers.newcomers.SHARED_S", 0.5)
    job = candidates(2)
    job.record(0)
    alone = job.come(0).result()
    job.work(alone)
    where = tmp_path / "elsewhere" if "run_dir" in fields or "seed" in fields else job.directory.path
    error = error_of(job.come(1, **{**fields, "run_dir": str(where)}))
    assert isinstance(error, UsageError) and why in str(error)
    assert alone.newcomers.to_take_in(()) == []


def test_a_host_whose_name_has_come_to_mean_another_address_is_answered_where_it_calls_from(candidates, monkeypatch):
    """As a pod that was started again elsewhere: who waited for it has asked for its address before."""
    job, resolve = candidates(2), datagrams.target.__wrapped__
    old = f"{ports.LOOPBACK}:{ports.free(1)[0]}"
    wrong = functools.cache(lambda address, family: resolve(old if address == job.addresses[1] else address, family))
    job.record(0, 1)
    with monkeypatch.context() as patched:
        patched.setattr(datagrams, "target", wrong)
        places = [coming.result(NEVER) for coming in [job.come(0), job.come(1)]]
    assert [job.members(place) for place in places] == [[0, 1]] * 2
    assert wrong.cache_info().currsize == 0, "it is asked for anew"


def test_workers_that_nobody_named_find_each_other_in_the_run_directory(tmp_path, monkeypatch):
    """As the tasks of an array do; and the address of one that was started elsewhere meanwhile counts."""
    with contextlib.ExitStack() as closing:
        job = Candidates(closing, tmp_path / "run", 3, rejoin_timeout=NEVER)

        def own_address_alone(asked: Config) -> Workers:
            own = asked.worker_index
            return Workers(tuple(a if k == own else "" for k, a in enumerate(job.addresses)), own, learned=True)

        monkeypatch.setattr(membership.discovery, "workers", own_address_alone)
        job.record(0, 2)
        job.directory.workers.mkdir()
        (job.directory.workers / "address.1").write_text("192.0.2.7:9000")  # of an earlier start, on another node
        places = [coming.result(NEVER) for coming in [job.come(0), job.come(2)]]
        assert [(job.members(place), place.workers.learned) for place in places] == [([0, 2], True)] * 2
        for place in places:
            job.work(place)
        job.come(1)
        assert eventually(lambda: places[0].newcomers._seen)
        assert membership.candidate_addresses(job.directory, places[0].workers) == tuple(job.addresses)
        assert "192.0.2.7:9000" in places[0].workers.candidates
        job.stop.ask("the end of the test")
    assert list(job.directory.path.glob("workers/*")) == []


def test_a_member_that_was_started_anew_is_noticed_at_once(candidates):
    job = candidates(2)
    job.record(0, 1)
    places = [coming.result() for coming in [job.come(0), job.come(1)]]
    first, second = map(job.work, places)
    assert eventually(lambda: first.silent() and second.silent())
    second.close()
    assert eventually(lambda: not ports.taken(int(job.addresses[1].rpartition(":")[2])))
    job.come(1)
    assert eventually(lambda: "was started anew" in str(first.farewell()))


def test_a_member_that_missed_the_last_word_is_told_by_those_that_work(candidates, monkeypatch):
    """The first falls silent as soon as it knows the job."""
    monkeypatch.setattr("pipeline.workers.gathering.Gathering._repeat", lambda self, every_s: None)
    job = candidates(2)
    job.record(0, 1)
    first, second = job.come(0), job.come(1)
    job.work(first.result())
    assert job.members(second.result()) == [0, 1]


def test_a_worker_that_sees_another_directory_is_no_member(tmp_path, candidates, monkeypatch):
    monkeypatch.setattr(membership, "SHARED_S", 0.2)
    job = candidates(2)
    job.record(0)
    place = job.come(0).result()
    job.work(place)
    membership.check_shared(job.directory, place.newcomers)
    with pytest.raises(UsageError, match="is not the chief's directory; --min_workers needs one that all workers"):
        membership.check_shared(RunDirectory(tmp_path / "elsewhere"), place.newcomers)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"min_workers": 3}, "min_workers=3 is more than the 2 worker"),
        ({"min_workers": 2, "grad_shards": 3, "global_batch": 6}, "3 shards divide over 1, 3 workers, and the job has"),
    ],
)
def test_more_workers_than_there_can_be_are_refused(candidates, fields, why):
    assert why in str(error_of(candidates(2, **fields).come(0)))


# --- many candidates ---


@pytest.fixture
def many(candidates, monkeypatch):
    """Sixteen that count as many: the first two are called by all."""
    monkeypatch.setattr(circle, "FEW", 2)
    monkeypatch.setattr("pipeline.workers.gathering.CALL_OF_MANY_S", 0.3)
    monkeypatch.setattr("pipeline.workers.gathering.TURN_OF_MANY_S", 0.05)
    return candidates(16, rejoin_timeout=NEVER, grad_shards=16, global_batch=96)


def test_many_that_come_are_the_job(many):
    places = [coming.result(NEVER) for coming in [many.come(index) for index in range(16)]]
    assert [(many.members(place), place.workers.index) for place in places] == [([*range(16)], k) for k in range(16)]


def test_many_without_the_first_ones_gather_around_the_lowest_which_hears_who_comes_back(many):
    many.record(*range(5, 13))
    places = [coming.result(NEVER) for coming in [many.come(index) for index in range(5, 13)]]
    assert [many.members(place) for place in places] == [[*range(5, 13)]] * 8
    chief = places[0]
    many.work(chief)
    for back in (0, 15, *range(1, 5), 13, 14):
        many.come(back)
    assert eventually(lambda: len(chief.newcomers.to_take_in(())) == 8), "then sixteen are a larger job"


def test_of_many_one_that_was_started_anew_and_one_that_missed_the_last_word_are_noticed(many, monkeypatch):
    repeat = Gathering._repeat
    monkeypatch.setattr(Gathering, "_repeat", lambda self, every_s: None)
    many.record(*range(8))
    coming = [many.come(index) for index in range(8)]
    first = many.work(coming[0].result(NEVER))
    places = [one.result(NEVER) for one in coming]
    assert [many.members(place) for place in places] == [[*range(8)]] * 8
    monkeypatch.setattr(Gathering, "_repeat", repeat)
    seventh = many.work(places[7])
    assert eventually(lambda: 7 in first.silent() and 0 in seventh.silent())
    seventh.close()
    assert eventually(lambda: not ports.taken(int(many.addresses[7].rpartition(":")[2])))
    many.come(7)
    assert eventually(lambda: "was started anew" in str(first.farewell()))


def test_of_many_the_gatherer_says_who_is_missing_and_the_others_who_gathers(candidates, monkeypatch):
    monkeypatch.setattr(circle, "FEW", 2)
    monkeypatch.setattr("pipeline.workers.waiting.MOST_NAMED", 2)
    job = candidates(6, start_timeout=4)
    gatherer, other = (error_of(coming) for coming in [job.come(1), job.come(5)])
    assert "and 2 more did not come within 4 s, and 2 of at least 4 workers are here" in str(gatherer)
    assert str(other).startswith(f"worker 1 ({job.addresses[1]}) gathers all others, and had no job within 4 s;")


def test_more_candidates_than_a_datagram_holds_are_refused(candidates, monkeypatch):
    monkeypatch.setattr("pipeline.workers.gathering.MOST_CANDIDATES", 2)
    error = error_of(candidates(3).come(0))
    assert isinstance(error, UsageError)
    assert str(error).startswith("there are 3 candidates, and with --min_workers at most 2 fit into a datagram; start")
