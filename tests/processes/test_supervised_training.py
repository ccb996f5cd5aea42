"""Training under the supervisor: killed or stopped, it goes on by itself and ends as if nothing had happened."""

import os
import random
import re
import signal
import subprocess
import time

import commands
from trainings import FLAGS, STEPS, Training, assert_equal_runs, training

from pipeline.errors import ExitCode
from pipeline.runs.run_directory import RunDirectory

ALL_STEPS = f"--steps={STEPS}"


def supervised(run_dir, *flags):
    return training(run_dir, "--towers=2", ALL_STEPS, *flags, entry_point="supervise")


def trainer(run: RunDirectory) -> int:
    """The process number of the trainer, as the run directory's lock tells it."""
    return int(re.search(r"process (\d+) on", (run.path / "lock").read_text())[1])


def hurt(run: RunDirectory, live, step: int, number: signal.Signals) -> None:
    assert live.until_step(step)
    time.sleep(random.Random(step).uniform(0, 0.03))
    os.kill(trainer(run), number)


def test_a_signal_to_the_supervisor_is_a_preemption_of_the_trainer(straight, tmp_path):
    run = RunDirectory(tmp_path / "run")
    with supervised(run.path) as live:
        assert live.until_step(10)
        live.send(signal.SIGUSR1)
        code, _, err = live.end()
    assert code == ExitCode.PREEMPTED and "worker 0 left with exit code 75" in err
    with supervised(run.path) as live:
        assert live.end()[0] == ExitCode.DONE
    assert_equal_runs(run.path, straight)


def test_killed_again_and_again_it_ends_as_one_never_killed(straight, tmp_path):
    """Also where it was to start anew: its own restarts go on."""
    run = RunDirectory(tmp_path / "run")
    with supervised(run.path, "--resume=never", "--max_restarts=1", "--pulse_timeout=120") as live:
        for step in (8, 30):
            hurt(run, live, step, signal.SIGKILL)
        code, _, err = live.end()
    assert (code, err.count("started, process")) == (ExitCode.DONE, 3)
    assert_equal_runs(run.path, straight)


def test_with_nobody_to_read_its_lines_it_goes_on_until_stdin_ends_and_then_saves(tmp_path):
    """As when a connection breaks: its lines can no longer be written, and only then does the other end hang up."""
    run = RunDirectory(tmp_path / "run")
    command = commands.command(
        "supervise", *FLAGS, ALL_STEPS, "--log_every=1", "--end_with_stdin", f"--run_dir={run.path}"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, env=commands.environment(), **pipes)
    live = Training(process, run.path)
    try:
        assert live.until_step(4)
        process.stdout.close()
        assert live.until_step(20)
        process.stdin.close()
        assert process.wait(60) == ExitCode.PREEMPTED
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
