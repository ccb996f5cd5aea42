"""The time to the first step and the peak of memory of whole processes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.rounds import Contender
from benchmarks.task import Task

STEPS = 200


class Start(NamedTuple):
    """One process, from its start to its end after STEPS steps."""

    first_step_s: float
    peak_bytes: int  # the largest resident set


def of_trainer(task: Task) -> Start:
    """A start of python -m pipeline.train, with its final checkpoint and test."""
    with tempfile.TemporaryDirectory() as directory:
        run_dir = Path(directory) / "run"
        # fmt: off
        flags = {
            "run_dir": run_dir, "source": task.source, "data_dir": task.data_dir, "model": task.model, "towers": 1,
            "global_batch": task.batch, "learning_rate": task.learning_rate, "steps": STEPS, "log_every": 1,
            "eval_every": 0, "checkpoint_every": 0}
        # fmt: on
        command = [sys.executable, "-m", "pipeline.train", *(f"--{name}={value}" for name, value in flags.items())]
        started = time.time()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = _peak_bytes(process)
        events = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
        first_step = next(event for event in events if event["event"] == "train")
        return Start(first_step["time"] - started, peak)


def of_peer(task: Task) -> Start:
    """A start of a contender's process, which ends after its last step."""
    contender = Contender(task)
    first_step_s = contender.start()
    for _ in range(STEPS - 1):
        contender.round()
    return Start(first_step_s, _peak_bytes(contender.process))


def _peak_bytes(process: subprocess.Popen) -> int:
    """Waits for the process and returns its peak of memory in bytes. At least this process's own, which is small."""
    if process.stdin:
        process.send_signal(signal.SIGCONT)  # a contender's
        process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{process.args!r} ended with code {process.returncode}; what it said is above")
    return usage.ru_maxrss * 1024
