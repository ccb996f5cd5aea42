"""The supervisor with real processes that stand for workers: when it restarts them, and that none outlives it."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import pytest
import supervised

from pipeline.errors import ExitCode

QUICK = {"first_pause_s": 0.05, "pulse_s": 1.5, "first_pulse_s": 20, "leave_s": 1, "stop_s": 1.5}
DEADLINE_S = 60


def start(*workers: list[str], limits=None, **told) -> subprocess.Popen:
    told = {"workers": workers, "limits": QUICK | (limits or {}), **told}
    command = [sys.executable, supervised.__file__, json.dumps(told)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=commands.environment(), **pipes)


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def run(*workers: list[str], **options) -> tuple[int, str, str]:
    return end(start(*workers, **options))


def num_starts(err: str, worker: int = 0) -> int:
    return len(re.findall(rf"^worker {worker} started", err, re.MULTILINE))


def read_pids(process: subprocess.Popen, count: int) -> list[int]:
    """The process numbers of the first workers, from the lines that say so."""
    return [
        int(re.fullmatch(r"worker \d+ started, process (\d+)\n", process.stderr.readline())[1]) for _ in range(count)
    ]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextlib.contextmanager
def ended_at_last(process: subprocess.Popen):
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("code", [0, 64, 65, 70, 75])
def test_ends_that_no_restart_betters_are_passed_on_at_once(code):
    ended, _, err = run([f"exit:{code}"])
    assert (ended, num_starts(err)) == (code, 1)


@pytest.mark.parametrize("act, code", [("exit:74", 74), ("exit:76", 76), ("exit:1", 1), ("signal:SIGKILL", 137)])
def test_other_ends_are_restarted_so_many_times_and_then_passed_on(act, code):
    ended, _, err = run([act], limits={"max_restarts": 2})
    assert (ended, num_starts(err)) == (code, 3)
    assert f"gave up after 2 restarts without a new checkpoint; exit code {code}" in err


def test_one_that_regroups_is_started_again_at_once_and_that_is_no_restart(tmp_path):
    ended, _, err = run([f"first:{tmp_path}/once:sign:r", "exit:75"], limits={"max_restarts": 0, "first_pause_s": 60})
    assert (ended, num_starts(err)) == (75, 2)
    assert "started again at once: the job goes on with other workers" in err


def test_one_that_says_that_it_starts_may_be_silent_as_at_its_start():
    ended, _, err = run(["sign:.", "sign:s", "sleep:3", "exit:0"], limits={"pulse_s": 1})
    assert (ended, num_starts(err)) == (0, 1)
    ended, _, err = run(["sign:.", "sleep:30"], limits={"pulse_s": 1, "max_restarts": 0})
    assert ended == 76 and "without a pulse for 1 s" in err


def test_the_pause_before_a_restart_doubles():
    _, _, err = run(["exit:76"], limits={"max_restarts": 4})
    assert re.findall(r"restart (\d) of 4 in ([\d.]+) s", err) == [
        ("1", "0.05"),
        ("2", "0.1"),
        ("3", "0.2"),
        ("4", "0.4"),
    ]


def test_a_worker_that_recovers_ends_well(tmp_path):
    ended, out, err = run([f"first:{tmp_path}/died:signal:SIGKILL", "say:done"])
    assert (ended, out, num_starts(err)) == (0, "done\n", 2)


def test_only_restarts_without_a_new_checkpoint_count(tmp_path):
    """Each of five lives writes a checkpoint and dies; all after them write none."""
    ended, _, err = run([f"save:{tmp_path}:5", "exit:76"], limits={"max_restarts": 2}, checkpoints=str(tmp_path))
    assert (ended, num_starts(err)) == (76, 5 + 2)
    assert err.count("restart 1 of 2 ") == 5 and "from step 4" in err


def test_all_workers_of_the_host_are_restarted_when_one_dies(tmp_path):
    ended, _, err = run([f"first:{tmp_path}/a:signal:SIGKILL"], [f"first:{tmp_path}/b:exit:76"])
    assert (ended, num_starts(err, 0), num_starts(err, 1)) == (0, 2, 2)


def test_of_codes_that_differ_the_most_telling_is_passed_on():
    assert run(["exit:76"], ["exit:64"], ["signal:SIGKILL"])[0] == ExitCode.USAGE
    assert run(["exit:75"], ["exit:76"])[0] == ExitCode.PREEMPTED


def test_whoever_stays_after_another_died_is_killed():
    ended, _, err = run(["exit:76"], ["pulse", "ignore", "sleep:600"], limits={"max_restarts": 0})
    assert ended == ExitCode.PEER_LOST
    assert "worker 1 killed, still there after the time to leave" in err


def test_a_good_end_hurries_nobody():
    ended, out, _ = run(["exit:0"], ["pulse", "sleep:2.5", "say:done"], limits={"leave_s": 0.5})
    assert (ended, out) == (0, "done\n")


@pytest.mark.parametrize("acts", [["pulse", "sleep:0.2", "signal:SIGSTOP"], ["signal:SIGSTOP"]])
def test_a_stopped_worker_is_killed_and_started_again(tmp_path, acts):
    *before, last = acts
    worker = [*before, f"first:{tmp_path}/stopped:{last}", "say:done"]
    ended, out, err = run(worker, limits={"first_pulse_s": 2})
    assert (ended, out, num_starts(err)) == (0, "done\n", 2)
    assert "worker 0 killed, without a pulse for" in err


def test_a_supervisor_that_was_stopped_itself_blames_nobody():
    with ended_at_last(start(["pulse", "sleep:6", "say:done"])) as process:
        read_pids(process, 1)
        time.sleep(1)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        ended, out, err = end(process)
    assert (ended, out, num_starts(err)) == (0, "done\n", 0)  # its start was read above


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_passed_on_once_and_its_code_passed_back(number):
    acts = ["leave:75", "pulse", "say:ready", "sleep:600"]
    with ended_at_last(start(acts, acts)) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        for _ in range(3):
            process.send_signal(number)
        ended, out, err = end(process)
    assert (ended, out) == (ExitCode.PREEMPTED, f"{number.name}\n" * 2)
    assert err.count(f"{number.name} passed on") == 1 and "restart" not in err


def test_workers_that_do_not_leave_after_a_signal_are_killed_and_not_restarted():
    with ended_at_last(start(["ignore", "pulse", "say:ready", "sleep:600"])) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        ended, _, err = end(process)
    assert ended == ExitCode.PEER_LOST and "killed, still there" in err and "restart" not in err


def test_a_signal_before_the_worker_listens_is_a_preemption_too():
    with ended_at_last(start(["say:ready", "sleep:600"])) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert end(process)[0] == ExitCode.PREEMPTED


def test_a_signal_in_the_pause_before_a_restart_ends_it():
    with ended_at_last(start(["exit:76"], limits={"first_pause_s": 50})) as process:
        for line in process.stderr:
            if line.startswith("restart"):
                break
        process.send_signal(signal.SIGTERM)
        ended, _, err = end(process)
    assert (ended, "stopped before the restart" in err) == (ExitCode.PREEMPTED, True)


@pytest.mark.parametrize("acts", [["pulse", "sleep:600"], ["ignore", "sleep:600"], ["signal:SIGSTOP"]])
def test_no_worker_outlives_a_supervisor_that_is_killed(acts):
    with ended_at_last(start(acts, acts)) as process:
        pids = read_pids(process, 2)
        time.sleep(0.5)
        assert not any(map(is_gone, pids))
        process.kill()
        process.wait()
        give_up = time.monotonic() + 5
        while not all(map(is_gone, pids)) and time.monotonic() < give_up:
            time.sleep(0.02)
        left = [pid for pid in pids if not is_gone(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert left == []


def test_lines_of_several_workers_are_passed_on_whole_with_their_number():
    acts = ["say:one", "part:two, cut"]
    ended, out, _ = run([*acts, "exit:0"], [*acts, "exit:0"], prefixed=True)
    lines = out.splitlines()
    for worker in (0, 1):
        own = [line for line in lines if line.startswith(f"worker {worker} | ")]
        assert own == [f"worker {worker} | one", f"worker {worker} | two, cut"]
    assert (ended, len(lines)) == (0, 4)


@pytest.mark.parametrize("no_colour, line", [("", b"\x1b[33mworker 1 |\x1b[0m hello"), ("1", b"worker 1 | hello")])
def test_on_a_terminal_the_number_has_a_colour_unless_no_color_is_set(no_colour, line):
    ours, terminal = pty.openpty()
    told = {"workers": [["exit:0"], ["say:hello"]], "limits": QUICK, "prefixed": True}
    command = [sys.executable, supervised.__file__, json.dumps(told)]
    environment = commands.environment(NO_COLOR=no_colour)
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, env=environment) as process:
        assert process.wait(DEADLINE_S) == 0
    os.close(terminal)
    assert os.read(ours, 1000).splitlines() == [line]
    os.close(ours)
