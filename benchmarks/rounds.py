"""Rounds of several contenders in alternating order, so that other load of the machine slows all of them alike."""

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.machine import peers_environment
from benchmarks.task import Task
from benchmarks.turns import Round, Unavailable
from pipeline.process import children

END_S = 10  # for a process to end, once it has been told to


class Contender:
    """A worker process. It is suspended between its turns, because tf.data would go on reading ahead."""

    def __init__(self, task: Task, timeout_s: float | None = None):
        """timeout_s: a start or a round that takes longer has failed."""
        self.task, self._timeout_s = task, timeout_s
        self._spawned = time.perf_counter()
        command = [task.python or sys.executable, "-m", "benchmarks.worker", json.dumps(dataclasses.asdict(task))]
        # So that no contender takes all of a GPU's memory; ours asks for that by itself.
        environment = peers_environment() if task.python else dict(os.environ)
        environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=children.die_with(os.getpid()),  # stopped between its turns, it would not notice by itself
        )

    def start(self) -> float:
        """Waits for the round that comes with the start, and returns the seconds since the process was spawned.

        Raises Unavailable.
        """
        left = self._timeout_s and max(0.0, self._spawned + self._timeout_s - time.perf_counter())
        self._reply(left)
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
        done = self._reply(self._timeout_s)
        self.process.send_signal(signal.SIGSTOP)
        return done

    def end(self) -> None:
        """Lets the process end, and waits for it."""
        self.dismiss()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    def dismiss(self) -> None:
        """Tells the process to end."""
        assert self.process.stdin
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def _reply(self, timeout_s: float | None) -> Round:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        if not ready:
            self.process.kill()
            raise Unavailable(f"failed: no answer within {self._timeout_s:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise Unavailable(f"failed: ended with code {self.process.wait()}; what it said is above")
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
        return [self.task.images_per_second(done.seconds, done.units) for done in self.rounds]


def measured(
    tasks: Sequence[Task], num_rounds: int, timeout_s: float | None = None, start_together: bool = False
) -> list[Measured]:
    """Runs every task in each round, in every other round in reverse order, after a round of warm-up.

    timeout_s: for every start and every round. start_together: all processes start at once, which is faster where
    there are many processors; rounds never overlap.
    """
    all_measured = [Measured(task) for task in tasks]
    with contextlib.ExitStack() as stack:
        spawned = (_spawned(one, stack, timeout_s) for one in all_measured)
        pairs = list(spawned) if start_together else spawned
        running = [(one, contender) for one, contender in pairs if _starts(one, contender)]
        for _, contender in running:
            stack.callback(contender.dismiss)  # all of them before any `end`: they end side by side
        for number in range(num_rounds):
            for one, contender in running if number % 2 == 0 else reversed(running):
                _add_round(one, contender)
    return all_measured


def _spawned(one: Measured, stack: contextlib.ExitStack, timeout_s: float | None) -> tuple[Measured, Contender]:
    contender = Contender(one.task, timeout_s)
    stack.callback(contender.end)
    return one, contender


def _starts(one: Measured, contender: Contender) -> bool:
    try:
        contender.start()
    except Unavailable as error:
        one.unavailable = str(error)
    return not one.unavailable


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
