"""The places of several workers in their job, all in this process, each with its sockets and its watchdog."""

import concurrent.futures
import contextlib
import dataclasses
import time
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.engine.topology import Topology, Workers
from pipeline.errors import DivergedError, ExitCode, PeerLostError, PipelineError, PreemptedError, UsageError
from pipeline.process.preemption import Preemption
from pipeline.workers import ports
from pipeline.workers.job import SILENT_S, Job
from pipeline.workers.watchdog import GRACE_S

ASKED = Config(model="dense", steps=10, start_timeout=10)
TOWER = ("CPU", 0)
NO_FILE = Path("/nowhere/stop")


class Colleague:
    """One worker: its place, and what may ask it to stop."""

    def __init__(self, addresses: tuple[str, ...], index: int, asked: Config, towers: int):
        self.preemption = Preemption()
        self.job = Job(asked, Topology((TOWER,) * towers, Workers(addresses, index)), self.preemption, NO_FILE)


@pytest.fixture
def colleagues():
    """Makes one worker for each configuration; those that do not leave by themselves fall silent with the test."""
    with contextlib.ExitStack() as closing:

        def make(*asked: Config, towers=(1, 1, 1)) -> list[Colleague]:
            addresses = tuple(f"{ports.LOOPBACK}:{port}" for port in ports.free(len(asked)))
            made = [Colleague(addresses, k, each, towers[k]) for k, each in enumerate(asked)]
            for each in made:
                closing.callback(each.job._peers.close)
            return made

        yield make


def all_do(workers: list[Colleague], act) -> list:
    """What comes of every worker's doing something at the same time: a value, or a PipelineError."""

    def one(index: int):
        try:
            return act(index, workers[index])
        except PipelineError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:
        return list(pool.map(one, range(len(workers))))


def meet(workers: list[Colleague]) -> list:
    return all_do(workers, lambda index, worker: worker.job.meet(worker.job._asked))


def other(**fields) -> Config:
    return dataclasses.replace(ASKED, **fields)


# --- meeting ---


def test_all_run_with_what_the_chief_settled_and_keep_their_own_ways(colleagues):
    asked = [other(run_dir="a", checkpoint_every=5), other(run_dir="b", log_every=7)]
    settled = [dataclasses.replace(asked[0], grad_shards=4, intra_op_threads=3, decay_steps=10), asked[1]]
    met = all_do(colleagues(*asked), lambda index, worker: worker.job.meet(settled[index], finished=index == 0))
    assert met[0] == (settled[0], True)
    assert met[1] == (dataclasses.replace(asked[1], grad_shards=4, intra_op_threads=3, decay_steps=10), True)


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        ({"seed": 2}, "different flags: seed 1 and 2;"),
        ({"steps": 20}, "different flags: steps 10 and 20;"),
        ({"all_reduce": "fast", "wire": "bfloat16"}, "all_reduce exact and fast; wire float32 and bfloat16;"),
        ({"grad_shards": 4}, "different flags: grad_shards 0 and 4;"),
    ],
)
def test_workers_with_other_flags_are_told_the_difference(colleagues, asked, difference):
    first, second, third = meet(colleagues(ASKED, ASKED, other(**asked)))
    assert {type(error) for error in (first, second, third)} == {UsageError}
    assert str(first).startswith("workers 0 and 2 were started with") and difference in str(first)
    assert str(second).startswith("workers 1 and 2 were started with") and difference in str(second)
    assert str(third).startswith("workers 2 and 0 were started with")


def test_workers_with_other_towers_are_told_so(colleagues):
    first, _ = meet(colleagues(ASKED, ASKED, towers=(1, 2)))
    assert isinstance(first, UsageError) and "workers 0 and 1 were started with different" in str(first)
    assert "towers 1 and 2; make them equal" in str(first)


def test_workers_of_other_versions_are_told_so(colleagues, monkeypatch):
    workers = colleagues(ASKED, ASKED)
    monkeypatch.setitem(workers[1].job._terms["versions"], "tensorflow", "2.99.0")
    first, _ = meet(workers)
    assert isinstance(first, UsageError) and f"versions: tensorflow {tf.__version__} and 2.99.0; make" in str(first)


def test_workers_on_other_hardware_are_told_so_with_the_remedy(colleagues, monkeypatch):
    workers = colleagues(ASKED, ASKED)
    older = {**workers[1].job._terms["versions"], "instructions": "AVX2", "variables": ""}
    own = {**older, "instructions": "AVX512_CORE", "variables": "XLA_FLAGS=x"}
    monkeypatch.setitem(workers[0].job._terms, "versions", own)
    monkeypatch.setitem(workers[1].job._terms, "versions", older)
    first, second = meet(workers)
    assert type(first) is type(second) is UsageError
    assert "instructions AVX512_CORE and AVX2; variables XLA_FLAGS=x and none; give all workers the same" in str(first)


def test_a_stop_before_all_have_come_ends_them_all(colleagues):
    present, stopped, missing = colleagues(ASKED, ASKED, ASKED)
    missing.job._peers.close()
    stopped.preemption.ask("SIGTERM")
    errors = meet([present, stopped])
    assert [error.code for error in errors] == [ExitCode.PREEMPTED] * 2
    assert "stopped while not all workers had come" in str(errors[0])


# --- leaving ---


def joined(workers: list[Colleague], act) -> list:
    """What comes of every worker's doing something after they met, as a member of the job."""

    def member(index: int, worker: Colleague):
        with worker.job.joined():
            worker.job.meet(ASKED)
            return act(index, worker)

    return all_do(workers, member)


def until_farewell(worker: Colleague, timeout_s: float = 5.0) -> PipelineError | None:
    worker.job.watchdog.stop()  # or it would end this process
    give_up = time.monotonic() + timeout_s
    while not (error := worker.job._peers.farewell()) and time.monotonic() < give_up:
        time.sleep(0.02)
    return error


def test_an_error_is_told_to_the_others(colleagues):
    def act(index, worker):
        if index == 1:
            raise DivergedError("at step 7 the loss is nan")
        return until_farewell(worker)

    told, raised = joined(colleagues(ASKED, ASKED), act)
    assert isinstance(told, DivergedError) and str(told).endswith(": at step 7 the loss is nan")
    assert str(raised) == "at step 7 the loss is nan"


def test_a_stop_that_all_agreed_on_is_not_told(colleagues):
    def act(index, worker):
        if index == 1:
            raise PreemptedError("SIGTERM at step 7")
        return until_farewell(worker, timeout_s=2.0)

    told, raised = joined(colleagues(ASKED, ASKED), act)
    assert told is None and isinstance(raised, PreemptedError)


def test_whoever_has_left_is_silent(colleagues):
    def act(index, worker):
        worker.job.watchdog.stop()
        if index == 0:
            time.sleep(SILENT_S + 1)
            return worker.job._peers.silent()[1]

    silent, _ = joined(colleagues(ASKED, ASKED), act)
    assert silent > SILENT_S


def broken(step: int = 0):
    raise tf.errors.UnavailableError(None, None, f"Collective ops is aborted in step {step}\nand more lines")


def test_a_broken_collective_is_explained_by_whoever_left(colleagues):
    def act(index, worker):
        worker.job.watchdog.stop()
        if index == 1:
            raise DivergedError("at step 7 the loss is nan")
        broken()

    broke, _ = joined(colleagues(ASKED, ASKED), act)
    assert isinstance(broke, DivergedError) and "worker 1 (" in str(broke)


def test_a_broken_collective_is_explained_by_whoever_is_silent(colleagues):
    def act(index, worker):
        worker.job.watchdog.stop()
        if index == 1:
            worker.job._peers.close()
            return
        worker.job.phases.enter("training", 41)
        broken()

    broke, *_ = joined(colleagues(ASKED, ASKED, ASKED), act)
    assert isinstance(broke, PeerLostError)
    # Found out alone, or heard from worker 2, whoever was first.
    assert str(broke).endswith("at step 41 worker 1 is gone; start the job again to go on")


def test_a_collective_that_broke_for_no_known_reason_says_what_tensorflow_says(colleagues):
    def act(index, worker):
        worker.job.watchdog.stop()
        if index == 0:
            broken()
        time.sleep(GRACE_S + 2)  # and is heard all the time

    broke, _ = joined(colleagues(ASKED, ASKED), act)
    assert isinstance(broke, PeerLostError)
    assert str(broke) == "workers lost each other (Collective ops is aborted in step 0); start the job again"


def test_one_worker_alone_has_nobody_to_meet_or_to_lose():
    alone = Job(ASKED, Topology((TOWER,)), Preemption(), NO_FILE)
    with pytest.raises(tf.errors.UnavailableError), alone.joined():
        assert alone.meet(ASKED, finished=True) == (ASKED, True)
        broken()
