"""What the watchdog notices, by a clock that the test sets; what it then does is seen in tests/processes."""

import contextlib
import json
import os
import time
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.engine.topology import Workers
from pipeline.errors import BadDataError, PeerLostError, PreemptedError, StorageError
from pipeline.process.preemption import Preemption
from pipeline.workers import fingers, ports
from pipeline.workers.peers import Peers
from pipeline.workers.phases import PATIENCE, Phases
from pipeline.workers.watchdog import Watchdog

STALL_S, START_S = 20, 300


class Clock:
    """A clock that stands still until it is told to go on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def phases(clock) -> Phases:
    phases = Phases(STALL_S, START_S, clock)
    phases.enter("start", 0)
    return phases


def late_after(phases: Phases, clock: Clock, phase: str, seconds: float) -> bool:
    """Whether a phase that is entered now is late after so many seconds."""
    phases.enter(phase, 0)
    clock.now += seconds
    return phases.late


# --- phases ---


def test_a_phase_that_never_ended_before_may_take_the_time_of_a_start(phases, clock):
    assert not late_after(phases, clock, "training", START_S)
    clock.now += 1
    assert phases.late


def test_a_phase_may_take_some_times_the_longest_that_it_ever_took(phases, clock):
    for seconds in (3, 10, 1):
        assert not late_after(phases, clock, "training", seconds)
    assert not late_after(phases, clock, "training", PATIENCE * 10)
    assert late_after(phases, clock, "training", PATIENCE * PATIENCE * 10 + 1)


def test_a_phase_that_is_short_may_take_the_time_of_a_stall(phases, clock):
    assert not late_after(phases, clock, "training", 0.01)
    assert not late_after(phases, clock, "training", STALL_S)
    assert late_after(phases, clock, "training", PATIENCE * STALL_S + 1)


def test_every_part_of_a_start_may_take_the_time_of_a_start(phases, clock):
    late_after(phases, clock, "start", 0.01)
    assert not late_after(phases, clock, "start", START_S)
    assert late_after(phases, clock, "start", START_S + 1)


def test_each_phase_has_a_time_of_its_own(phases, clock):
    late_after(phases, clock, "training", 0.01)
    assert not late_after(phases, clock, "evaluation", START_S)


def test_a_meeting_bounds_itself(clock):
    phases = Phases(STALL_S, START_S, clock)
    clock.now += 10 * START_S
    assert not phases.late


def test_a_worker_tells_where_it_is(phases, clock):
    phases.arrived = lambda: 41
    phases.enter("training", 40)
    clock.now += 2.04
    phases.pace = lambda: [41, 2.5]
    place = {"phase": "training", "step": 40, "arrived": 41, "seconds": 2.0, "late": False}
    assert phases.status() == {**place, "pace": [41, 2.5]}


# --- reasons ---


@pytest.fixture
def company(phases):
    """Makes peers of this process, worker 0, that have met; the others are where the test says."""
    with contextlib.ExitStack() as closing:

        def make(*others: dict) -> list[Peers]:
            addresses = tuple(f"{ports.LOOPBACK}:{port}" for port in ports.free(1 + len(others)))
            statuses = [phases.status, *(lambda status=status: status for status in others)]
            peers = [Peers(Workers(addresses, index), status) for index, status in enumerate(statuses)]
            for each in peers:
                closing.callback(each.close)
            give_up = time.monotonic() + 10
            while not all(len(each.silent()) == len(others) for each in peers):
                assert time.monotonic() < give_up
                time.sleep(0.02)
            return peers

        yield make


def status(arrived: int, late: bool = False, seconds: float = 1.0, phase: str = "training") -> dict:
    place = {"phase": phase, "step": 10 * (arrived // 10), "arrived": arrived}
    return {**place, "seconds": seconds, "late": late, "pace": []}


def watchdog(run_dir: Path, phases: Phases, peers: Peers | None = None, **fields) -> Watchdog:
    return Watchdog(Config(run_dir=str(run_dir), **fields), phases, Preemption(), peers, run_dir / "stop")


def test_nothing_is_wrong_while_all_go_on(tmp_path, phases, company):
    ours, _ = company(status(3))
    assert watchdog(tmp_path, phases, ours).reason() is None


def test_a_worker_that_leaves_takes_this_one_with_it(tmp_path, phases, company):
    ours, other = company(status(3))
    other.leave(BadDataError("9.png cannot be decoded"))  # several times, within a second
    reason = watchdog(tmp_path, phases, ours).reason()
    assert isinstance(reason, BadDataError) and "worker 1 (" in str(reason) and "9.png cannot be" in str(reason)


def test_a_silent_worker_is_named(tmp_path, phases, company):
    ours, *_ = company(status(3), status(3))
    assert watchdog(tmp_path, phases, ours, stall_timeout=5).reason() is None
    time.sleep(0.01)
    reason = watchdog(tmp_path, phases, ours, stall_timeout=0).reason()
    assert isinstance(reason, PeerLostError)
    assert str(reason).startswith("at step 0 nothing is heard of worker 1 for 0 s, worker 2 for 0 s; start the job")


def behind(tmp_path, phases, clock, company, own: dict, *others: dict) -> str:
    """What the watchdog of a worker that is at `own` says of a job whose others are where they are."""
    phases.arrived = lambda: own["arrived"]
    if not own["late"]:
        phases.enter(own["phase"], own["step"])
    else:
        late_after(phases, clock, own["phase"], START_S + 1)
    reason = watchdog(tmp_path, phases, company(*others)[0]).reason()
    assert reason is None or isinstance(reason, PeerLostError)
    return str(reason)


def test_whoever_is_behind_and_late_is_named_by_all(tmp_path, phases, clock, company):
    at = (status(6, late=True), status(6, late=True), status(5, late=True, seconds=21.0))
    told = behind(tmp_path, phases, clock, company, *at)
    assert told == "no step for 301 s; behind is worker 2 in training of step 6; start the job again to go on"


def test_this_worker_is_named_too_if_it_is_the_one_behind(tmp_path, phases, clock, company):
    told = behind(tmp_path, phases, clock, company, status(5, late=True), status(6))
    assert "behind is worker 0 in training of step 6;" in told


def test_who_waits_for_one_that_has_more_to_do_is_not_to_blame(tmp_path, phases, clock, company):
    at = (status(6, late=True), status(5, late=False, phase="saving"))
    assert behind(tmp_path, phases, clock, company, *at) == "None"


def test_of_many_whoever_is_behind_is_named_by_those_who_hear_of_it_once_that_lasts(
    tmp_path, phases, clock, company, monkeypatch
):
    """Twelve that count as many: worker 6 does not speak to this one, whose neighbours have done their part."""
    monkeypatch.setattr(fingers, "ALL_TO_ALL", 4)
    for is_late, told in ((False, "None"), (True, "; behind is worker 6 in training of step 6;")):
        phases.arrived = lambda: 6
        late_after(phases, clock, "training", START_S + 1)
        others = {index: status(6, late=True) for index in range(1, 12)} | {6: status(5, late=is_late)}
        ours, *_ = company(*others.values())
        give_up = time.monotonic() + 10
        while ours.fresh_statuses().get(6) != others[6]:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        watch = Watchdog(Config(run_dir="run"), phases, Preemption(), ours, tmp_path / "stop", clock)
        assert watch.reason() is None
        clock.now += ours.delay_s
        assert told in str(watch.reason())


def test_where_all_wait_for_each_other_all_are_named(tmp_path, phases, clock, company):
    told = behind(tmp_path, phases, clock, company, status(5, late=True), status(5, late=True))
    assert "behind is worker 0 in training of step 6, worker 1 in training of step 6;" in told


@pytest.mark.parametrize("supervised", [True, False])
def test_one_worker_alone_is_late_only_for_a_supervisor(tmp_path, phases, clock, supervised):
    late_after(phases, clock, "training", START_S + 1)
    alone = watchdog(tmp_path, phases)
    read, write = os.pipe()
    alone.stop()  # so that its thread ends at once
    alone.start(write if supervised else None)
    os.close(read)
    os.close(write)
    assert isinstance(alone.reason(), PeerLostError if supervised else type(None))


def test_a_lost_run_directory_is_a_reason(tmp_path, phases):
    def lost():
        raise StorageError("taken over by process 7")

    ours = watchdog(tmp_path, phases)
    assert ours.reason() is None
    ours.check_owner = lost
    assert str(ours.reason()) == "taken over by process 7"


# --- stops ---


def test_the_stop_file_asks_for_a_stop(tmp_path, phases):
    preemption = Preemption()
    ours = Watchdog(Config(run_dir=str(tmp_path)), phases, preemption, None, tmp_path / "stop")
    assert ours.reason() is None and not preemption.requested
    (tmp_path / "stop").touch()
    assert ours.reason() is None and preemption.reason == str(tmp_path / "stop")


def test_a_stop_may_take_until_its_deadline(tmp_path, phases, clock):
    preemption = Preemption()
    ours = Watchdog(
        Config(run_dir=str(tmp_path), preemption_deadline=60), phases, preemption, None, tmp_path / "stop", clock
    )
    clock.now += 100
    assert ours.reason() is None
    preemption.ask("SIGTERM")
    assert ours.reason() is None
    clock.now += 60
    assert ours.reason() is None
    clock.now += 0.1
    reason = ours.reason()
    assert isinstance(reason, PreemptedError) and "longer than --preemption_deadline=60 s" in str(reason)


# --- what it leaves behind ---


def test_every_workers_place_and_this_ones_stacks_are_written(tmp_path, phases, company):
    ours, _ = company(status(7, late=True))
    dog = watchdog(tmp_path, phases, ours)
    with (tmp_path / "log").open("w") as dog.log:
        dog.write_places()
    first, second, *stacks = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("worker 0: {") and json.loads(second.removeprefix("worker 1: ")) == status(7, late=True)
    assert any(__file__ in line for line in stacks)


def test_a_full_disk_keeps_nobody_from_leaving(tmp_path, phases, company):
    ours, _ = company(status(7))
    dog = watchdog(tmp_path, phases, ours)
    with contextlib.suppress(OSError), Path("/dev/full").open("w", buffering=1) as dog.log:
        dog.write_places()
        left = True
    assert left  # only what closes the file may fail
