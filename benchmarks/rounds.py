"""Rounds of several contenders in alternating order, so that other load of the machine slows all of them alike."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.task import Task
from benchmarks.turns import Round, Unavailable


class Contender:
    """A worker process. It is suspended between its turns, because tf.data would go on reading ahead."""

    def __init__(self, task: Task):
        self.task = task
        self._spawned = time.perf_counter()
        command = [task.python or sys.executable, "-m", "benchmarks.worker", json.dumps(dataclasses.asdict(task))]
        # So that no contender takes all of a GPU's memory; ours asks for that by itself.
        environment = os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self) -> float:
        """Waits for the round that comes with the start, and returns the seconds since the process was spawned.

        Raises Unavailable.
        """
        self._reply()
        seconds = time.perf_counter() - self._spawned
        self.process.send_signal(signal.SIGSTOP)
        return seconds

    def round(self) -> Round:
        """Trains a round. Raises Unavailable."""
        assert self.process.stdin
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):  # it is gone: no reply will say so
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        done = self._reply()
        self.process.send_signal(signal.SIGSTOP)
        return done

    def end(self) -> None:
        """Lets the process end, and waits for it."""
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()

    def _reply(self) -> Round:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise Unavailable(f"ended with code {self.process.wait()}; what it said is above")
        reply = json.loads(line)
        if "unavailable" in reply:
            raise Unavailable(reply["unavailable"])
        return Round(**reply)


@dataclasses.dataclass
class Measured:
    """The turns of a contender, one for each round, or the reason why there are none."""

    task: Task
    rounds: list[Round] = dataclasses.field(default_factory=list)
    unavailable: str = ""

    @property
    def images_per_s(self) -> list[float]:
        """The speed of each round."""
        return [self.task.images_per_second(done.seconds) for done in self.rounds]


def measured(tasks: Sequence[Task], num_rounds: int) -> list[Measured]:
    """Runs every task in each round, in every other round in reverse order, after a round of warm-up."""
    all_measured = [Measured(task) for task in tasks]
    with contextlib.ExitStack() as stack:
        running = [(one, contender) for one in all_measured if (contender := _started(one, stack))]
        for number in range(num_rounds):
            for one, contender in running if number % 2 == 0 else reversed(running):
                _add_round(one, contender)
    return all_measured


def _started(one: Measured, stack: contextlib.ExitStack) -> Contender | None:
    contender = Contender(one.task)
    stack.callback(contender.end)
    try:
        contender.start()
    except Unavailable as error:
        one.unavailable = str(error)
        return None
    return contender


def _add_round(one: Measured, contender: Contender) -> None:
    if one.unavailable:
        return
    try:
        one.rounds.append(contender.round())
    except Unavailable as error:
        one.unavailable, one.rounds = str(error), []


def interleaved(tasks: Sequence[Task], num_rounds: int) -> list[list[float]]:
    """The images/s of every task in each round, as `measured`. Ends the process if a task cannot run."""
    return [_complete(one).images_per_s for one in measured(tasks, num_rounds)]


def _complete(one: Measured) -> Measured:
    if one.unavailable:
        sys.exit(f"{one.task.label}: {one.unavailable}")
    return one
