"""Trainings in processes of their own, to be stopped in the middle; and what they told, to be compared."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import commands
from told_run import curves, lines

from pipeline.runs.run_directory import RunDirectory

DEADLINE_S = 300  # for anything to happen on a machine that is busy with other things
POLL_S = 0.004
STEPS = 60
# Dropout, running statistics and Adam, whose loops, logs, evaluations and checkpoints all fall on other steps. Without
# histograms, whose gradient is a function more to trace in each process.
FLAGS = (
    "--source=fake:300",
    "--model=models_for_tests:batch_norm",
    "--global_batch=24",
    "--grad_shards=4",
    "--intra_op_threads=1",
    "--steps_per_loop=4",
    "--log_every=2",
    "--checkpoint_every=3",
    "--eval_every=20",
    "--eval_batch=10",
    "--summary_every=0",
    "--metrics=all",
)
HISTOGRAMS = "--summary_every=20"


class Training:
    """A training that runs. It ends with the `with` in which it was started, at the latest."""

    def __init__(self, process: subprocess.Popen, run_dir: Path):
        self._process, self._run = process, RunDirectory(run_dir)
        self._read: tuple[int, int] | None = None  # what was last read of the log: its size, and its time of change
        self._steps: list[int] = []

    def until(self, condition: Callable[[], bool]) -> bool:
        """Waits; True when the condition holds, False if the training ended before."""
        give_up = time.monotonic() + DEADLINE_S
        while not condition():
            if self._process.poll() is not None:
                return False
            assert time.monotonic() < give_up, "nothing happened"
            time.sleep(POLL_S)
        return True

    def logged(self, step: int) -> bool:
        """Whether this step, or a later one, was logged. Reads the log only when it has changed."""
        try:
            found = os.stat(self._run.path / "metrics.jsonl")
        except FileNotFoundError:
            return False
        if (found.st_size, found.st_mtime_ns) != self._read:
            self._read = found.st_size, found.st_mtime_ns
            self._steps = [event["step"] for event in self._run.history().events if event["event"] == "train"]
        return max(self._steps, default=0) >= step

    def until_step(self, step: int) -> bool:
        """Waits for a step to be logged; False if the training ended before."""
        return self.until(lambda: self.logged(step))

    def until_owned(self) -> bool:
        """The same, for the run directory to be this training's."""
        lock = self._run.path / "lock"
        return self.until(lambda: lock.exists() and f"process {self._process.pid} " in lock.read_text())

    def until_listening(self) -> bool:
        """The same, for signals to be taken over, which happens before TensorFlow is imported."""
        status = Path(f"/proc/{self._process.pid}/status")
        bit = 1 << (signal.SIGUSR1 - 1)
        return self.until(lambda: bool(int(status.read_text().partition("SigCgt:")[2].split()[0], 16) & bit))

    def saving(self) -> bool:
        """Whether a checkpoint is in the middle of its way to the disk, or a kill left it there."""
        return any(self._run.checkpoints.glob(".writing-*"))

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; one that comes too late is lost."""
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        self._process.kill()
        self._process.communicate()

    def end(self) -> tuple[int, str, str]:
        """Waits for the end: exit code, stdout, stderr."""
        out, err = self._process.communicate(timeout=DEADLINE_S)
        return self._process.returncode, out, err

    def storm(self) -> tuple[int, str, str]:
        """The same, under more signals all the way."""
        while self._process.poll() is None:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
                self.send(number)
            time.sleep(0.001)
        return self.end()


@contextmanager
def training(run_dir: Path, *flags, entry_point: str = "train", **options) -> Iterator[Training]:
    """Starts `pipeline.train` with these flags after FLAGS, or another entry point; options as of commands.start."""
    process = commands.start(entry_point, *FLAGS, f"--run_dir={run_dir}", *flags, **options)
    live = Training(process, run_dir)
    try:
        yield live
    finally:
        live.kill()


def train(run_dir: Path, *flags) -> dict:
    """Trains to the end, and returns the result line that is the last on stdout."""
    with training(run_dir, *flags) as live:
        code, out, err = live.end()
    assert (code, err) == (0, "")
    return json.loads(out.splitlines()[-1])


def told(run_dir: Path) -> list[dict]:
    """The lines about numbers in metrics.jsonl, in order, without time and speed."""
    numbers = [line for line in lines(run_dir) if line["event"] in ("train", "validation", "test")]
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in numbers]


def shown(run_dir: Path) -> dict:
    """The curves, histograms and pictures in TensorBoard, without speed and texts."""
    apart = ("speed", "run")
    return {key: points for key, points in curves(run_dir).items() if key[1].partition("/")[0] not in apart}


def assert_equal_runs(run_dir: Path, straight: Path) -> None:
    """That two runs told the same steps with the same numbers, none twice, and came to the same parameters."""
    assert told(run_dir) == told(straight)
    steps = [(line["event"], line["step"]) for line in told(run_dir)]
    assert len(set(steps)) == len(steps)
    assert shown(run_dir) == shown(straight)
    hashes = [RunDirectory(path).history().result["parameters_sha256"] for path in (run_dir, straight)]
    assert hashes[0] == hashes[1]
