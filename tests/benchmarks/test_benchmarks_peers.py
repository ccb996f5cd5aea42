"""The measurement of contenders: its length, its turns, and what PyTorch's processes are started with."""

import io
import json

import pytest

from benchmarks import machine, peers, roster, worker
from benchmarks.budget import LEAST_ROUND_S, LONGEST_ROUND_S, START_S, Budget
from benchmarks.rounds import measured
from benchmarks.task import Task


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rounds_share_what_starts_leave_of_the_time():
    clock = Clock()
    budget = Budget(100, num_groups=2, clock=clock)
    assert budget.begin(num_rounds=20, num_starts=1) == (100 / 2 - START_S) / 20
    clock.now = 40  # 20 s of rounds, and a start of 20 s
    budget.end()
    assert budget.begin(num_rounds=50, num_starts=1) == (60 - 20) / 50


def test_rounds_have_a_least_and_a_longest_length_and_a_group_that_ends_too_late_is_left_out():
    assert Budget(1000, 1).begin(num_rounds=10, num_starts=1) == LONGEST_ROUND_S
    assert Budget(100, 2).begin(num_rounds=100, num_starts=1) == LEAST_ROUND_S
    assert Budget(START_S, 1).begin(num_rounds=4, num_starts=1) == 0
    assert Budget(START_S + 4, 1).begin(num_rounds=4, num_starts=2) == 0


def test_a_round_has_units_until_its_least_seconds_and_the_first_has_one(monkeypatch):
    clock, replies = Clock(), io.StringIO()
    monkeypatch.setattr(worker.time, "perf_counter", clock)
    monkeypatch.setattr(worker.sys, "stdin", io.StringIO("\n" * 3))
    turns = worker.Turns(replies, least_seconds=1.0)
    for _ in range(7):
        clock.now += 0.4
        turns(0.5)
    done = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert [(one["units"], round(one["seconds"], 6)) for one in done] == [(1, 0.4), (3, 1.2), (3, 1.2)]
    assert Task("", 10, round_steps=4).images_per_second(1.2, units=3) == pytest.approx(100)


def test_a_contender_that_fails_is_a_line_and_the_others_are_measured():
    tasks = [Task("lacking", 1), Task("lacking:too", 1)]
    for one in measured(tasks, 1, timeout_s=100, start_together=True):
        assert one.rounds == []
        assert one.unavailable == ("failed: ModuleNotFoundError: No module named 'benchmarks.contenders.lacking'")


def test_a_start_that_takes_too_long_has_failed():
    [one] = measured([Task("ours", 1)], 1, timeout_s=0.01)
    assert one.unavailable == "failed: no answer within 0 s"


def test_pytorch_has_paths_of_its_own_if_they_are_given(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/tensorflow")
    monkeypatch.setenv("PYTHONPATH", "/tensorflow")
    monkeypatch.setenv("PEERS_LD_LIBRARY_PATH", "")
    monkeypatch.setenv("PEERS_PYTHON", "/usr/bin/other")
    environment = machine.peers_environment()
    assert (environment["LD_LIBRARY_PATH"], environment["PYTHONPATH"]) == ("", "/tensorflow")
    assert str(machine.peers_python()) == "/usr/bin/other"


def test_every_default_contender_is_in_the_roster():
    names = [entry.name for entry in roster.ROSTER]
    assert set(roster.FOR_CPUS) | set(roster.FOR_GPUS) == set(names)
    assert set(peers.ON_CPUS) | set(peers.ON_GPUS) <= set(roster.ALL)
