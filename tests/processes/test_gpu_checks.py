"""The checks for a GPU run without one, and can fail."""

import concurrent.futures
import json
import subprocess
import sys
import time

import commands
import numpy as np
import pytest

from tests.gpu.bench import OK, WRONG, Bench
from tests.gpu.of_bits import largest_difference
from tests.gpu.processes import Ended, OutOfTimeError, Places


def ended(sha256: str, code: int = 0) -> concurrent.futures.Future:
    future: concurrent.futures.Future = concurrent.futures.Future()
    line = json.dumps({"parameters_sha256": sha256})
    future.set_result(Ended([], code, [line] if not code else [], "usage: no" * bool(code), 1.0, 1))
    return future


def test_some_checks_pass_on_the_cpu_and_leave_a_file(tmp_path):
    words = [
        "-m",
        "tests.gpu",
        "--device=cpu",
        "--only=moved,diverged,mnist",
        "--mnist=",
        f"--json={tmp_path / 'json'}",
    ]
    ran = subprocess.run(
        [sys.executable, *words], cwd=commands.TESTS.parent, env=commands.environment(), capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    found = json.loads((tmp_path / "json").read_text())
    assert {line["verdict"] for line in found["lines"]} == {"ok", "skipped"}
    assert [process["code"] for process in found["processes"]["diverged"]] == [70, 0]


def test_two_hashes_or_two_failures_are_wrong():
    same = Bench.same
    assert same(None, "what", {"a": ended("1" * 64), "b": ended("1" * 64)}).verdict == OK
    assert same(None, "what", {"a": ended("1" * 64), "b": ended("2" * 64)}).verdict == WRONG
    assert same(None, "what", {"a": ended("", 64), "b": ended("", 64)}).verdict == WRONG


def test_the_largest_difference_of_a_gradient_is_relative_and_sees_nan():
    expected = {"m:a": np.array([1.0, 0.0]), "m:b": np.array([100.0, 0.0]), "other:a": np.array([1.0])}
    found = {"m:a": np.array([1.0, 0.1]), "m:b": np.array([100.0, 1.0]), "other:a": np.array([9.0])}
    assert largest_difference(expected, found, "m") == (pytest.approx(0.1), "a")
    assert largest_difference(expected, found | {"m:b": np.array([np.nan, 0])}, "m") == (np.inf, "b")


def test_the_lowest_rank_goes_first_and_no_new_one_after_the_time():
    places, order = Places(2, time.monotonic() + 0.5), []

    def work(rank: int, need: int, seconds: float) -> None:
        with places.taken(rank, need):
            order.append(rank)
            time.sleep(seconds)

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        first = threads.submit(work, 5, 0, 0.3)
        time.sleep(0.1)
        others = [threads.submit(work, rank, 1, 0.3) for rank in (9, 3, 4)]
        first.result()
        assert order[0] == 5
        with pytest.raises(OutOfTimeError):
            others[0].result()
    assert sorted(order[1:]) == [3, 4]
