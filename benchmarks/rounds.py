"""Rounds of several contenders in alternating order, so that what else the machine does falls on all alike."""

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.task import Task


class Contender:
    """A worker process, suspended while it is not its turn: else tf.data would go on reading ahead."""

    def __init__(self, task: Task):
        self.task = task
        self._spawned = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.worker", json.dumps(dataclasses.asdict(task))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self) -> float:
        """Waits for the round that comes with the start, and returns the seconds since the process was spawned."""
        self._reply()
        seconds = time.perf_counter() - self._spawned
        self.process.send_signal(signal.SIGSTOP)
        return seconds

    def round(self) -> float:
        """Trains a round and returns its seconds."""
        assert self.process.stdin
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds = self._reply()
        self.process.send_signal(signal.SIGSTOP)
        return seconds

    def end(self) -> None:
        """Lets the process end, and waits for it."""
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()

    def _reply(self) -> float:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.task.label} ended with code {self.process.wait()}; what it said is above")
        return json.loads(line)["seconds"]


@contextlib.contextmanager
def started(tasks: Sequence[Task]) -> Iterator[list[Contender]]:
    """Contenders that have done a round as warm-up, started one after the other; ended at the end."""
    with contextlib.ExitStack() as stack:
        contenders = []
        for task in tasks:
            contender = Contender(task)
            stack.callback(contender.end)
            contender.start()
            contenders.append(contender)
        yield contenders


def interleaved(tasks: Sequence[Task], rounds: int) -> list[list[float]]:
    """The images/s of every task in each of `rounds` rounds, of which each second goes backwards."""
    speeds: list[list[float]] = [[] for _ in tasks]
    with started(tasks) as contenders:
        for number in range(rounds):
            order = list(enumerate(contenders))
            for i, contender in order if number % 2 == 0 else reversed(order):
                speeds[i].append(tasks[i].images_per_second(contender.round()))
    return speeds
