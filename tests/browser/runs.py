"""Real runs to look at: one that was stopped and went on, with other towers, and one to compare it with."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ExitCode
from pipeline.runs.run_directory import RunDirectory

PROJECT = Path(__file__).parents[2]
DEADLINE_S = 600  # for a run on a machine that is busy with other things


@contextmanager
def training(directory: Path, name: str, *flags: str) -> Iterator[subprocess.Popen]:
    """A training of directory/runs/NAME, that ends with the `with` at the latest."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "pipeline.train", f"--run_dir=runs/{name}", "--quiet", *flags]
    process = subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def make(directory: Path, steps: int, *flags: str) -> Path:
    """Trains runs/adam, which is stopped in the middle, and runs/momentum below the directory; returns runs/."""
    every = steps // 30
    flags = (*flags, "--model=convolutional", "--grad_shards=4", f"--steps={steps}", f"--log_every={every}")
    flags = (*flags, f"--eval_every={5 * every}", f"--checkpoint_every={5 * every}")
    with training(directory, "adam", *flags, "--towers=2", "--variables=replicated") as process:
        _wait(lambda: _told(directory / "runs" / "adam", steps // 2), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == ExitCode.PREEMPTED
    with training(directory, "adam", *flags, "--towers=2", "--variables=replicated") as process:
        assert process.wait(DEADLINE_S) == ExitCode.DONE
    other = ("--optimizer=momentum", "--learning_rate=0.02", "--towers=1")
    with training(directory, "momentum", *flags, *other) as process:
        assert process.wait(DEADLINE_S) == ExitCode.DONE
    return directory / "runs"


def _told(run: Path, step: int) -> bool:
    return any(event["event"] == "train" and event["step"] >= step for event in RunDirectory(run).history().events)


def _wait(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    give_up = time.monotonic() + DEADLINE_S
    while not condition():
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.05)
