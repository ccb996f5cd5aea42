"""Starts the workers of this host, and starts them again when one dies or stalls, from the newest checkpoint.

The supervisor knows of other hosts only what its own workers say when they leave: 76, a peer is lost. Every host's
supervisor then starts its workers again by itself, and they meet within --start_timeout.
"""

import dataclasses
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.errors import ExitCode, most_telling
from pipeline.workers.worker_process import WorkerProcess

_FINAL = {ExitCode.DONE, ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.DIVERGED, ExitCode.PREEMPTED}
StopSignal = Callable[[], signal.Signals | None]
TURN_S = 0.1
LONGEST_PAUSE_S = 60.0


@dataclasses.dataclass(frozen=True)
class Limits:
    """How often workers are started again, and how long they are waited for, in seconds."""

    max_restarts: int = 3  # without a new checkpoint between them
    first_pause_s: float = 1.0  # before a restart; doubled each time, up to LONGEST_PAUSE_S
    pulse_s: float = 30.0  # silence of a worker after which it is killed
    first_pulse_s: float = 120.0  # silence of a new worker, before its first pulse
    leave_s: float = 40.0  # until all have left after one died
    stop_s: float = 75.0  # the same after a stop was asked for


@dataclasses.dataclass(frozen=True)
class Worker:
    """How to start one worker."""

    index: int
    command: Sequence[str]
    environment: Mapping[str, str]
    prefixes: tuple[str, str] | None = None  # of its lines on stdout and stderr
    only_at_first: Sequence[str] = ()  # flags of the first start alone


class Supervisor:
    """Runs the workers of one host to their common end."""

    def __init__(
        self,
        workers: Sequence[Worker],
        limits: Limits,
        newest_checkpoint: Callable[[], int],
        stop_signal: StopSignal,
        say: Callable[[str], None],
    ):
        """newest_checkpoint: its step, or -1. stop_signal: the signal by which a stop was asked for, if it was."""
        self._workers, self._limits, self._say = workers, limits, say
        self._newest_checkpoint, self._stop_signal = newest_checkpoint, stop_signal
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Starts the workers, again and again if need be; returns the job's exit code."""
        saved, restarts = self._newest_checkpoint(), 0
        while True:
            group = _WorkerGroup(self._workers, self._limits, self._selector, self._stop_signal, self._say)
            code = group.run_to_end()
            regroups = group.regroups and code == ExitCode.PREEMPTED and not self._stop_signal()
            if not regroups and (code in _FINAL or self._stop_signal()):
                return code
            self._workers = [dataclasses.replace(worker, only_at_first=()) for worker in self._workers]
            if regroups:
                self._say("started again at once: the job goes on with other workers")
                continue
            newest = self._newest_checkpoint()
            if newest > saved:
                saved, restarts = newest, 0
            if restarts == self._limits.max_restarts:
                if restarts:
                    self._say(f"gave up after {restarts} restarts without a new checkpoint; exit code {code}")
                return code
            pause = min(self._limits.first_pause_s * 2**restarts, LONGEST_PAUSE_S)
            restarts += 1
            where = f"step {newest}" if newest >= 0 else "no checkpoint that this host can see"
            self._say(f"restart {restarts} of {self._limits.max_restarts} in {pause:g} s, from {where}")
            if not self._pause(pause):
                self._say("stopped before the restart")
                return ExitCode.PREEMPTED

    def _pause(self, seconds: float) -> bool:
        """Waits; False as soon as a stop is asked for."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stop_signal():
            time.sleep(TURN_S)
        return not self._stop_signal()


class _WorkerGroup:
    """The workers from one start to the end of the last of them."""

    def __init__(
        self,
        workers: Sequence[Worker],
        limits: Limits,
        selector: selectors.BaseSelector,
        stop_signal: StopSignal,
        say: Callable[[str], None],
    ):
        self._limits, self._selector, self._stop_signal, self._say = limits, selector, stop_signal, say
        self._now = 0.0  # seconds in which the supervisor itself ran: time for which it was stopped counts for nobody
        self.regroups = False  # a worker left so that the job goes on with others
        self._deadline = float("inf")  # by which all have to have left
        self._stopping: signal.Signals | None = None  # the signal that was passed on
        self._codes: dict[int, int] = {}  # of the workers that have left, by index
        self._living: dict[int, WorkerProcess] = {}
        self._last_heard: dict[int, float] = {}
        self._start(workers)

    def _start(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            command = [*worker.command, *worker.only_at_first]
            process = WorkerProcess(command, worker.environment, self._selector, worker.prefixes)
            self._living[worker.index], self._last_heard[worker.index] = process, 0.0
            self._say(f"worker {worker.index} started, process {process.pid}")

    def run_to_end(self) -> int:
        """Returns the most telling exit code when all have left, of themselves or killed."""
        try:
            while self._living:
                self._turn()
                self._pass_stop_on()
                self._kill_the_silent()
                self._kill_the_late()
                self._bury()
        finally:
            for process in self._living.values():
                process.end()
        return most_telling(list(self._codes.values()))

    def _turn(self) -> None:
        """Waits a turn at most, and reads the workers' pulses and lines."""
        started = time.monotonic()
        for key, _ in self._selector.select(TURN_S):
            key.data()
        self._now += min(time.monotonic() - started, 10 * TURN_S)

    def _pass_stop_on(self) -> None:
        number = self._stop_signal()
        if number and not self._stopping:
            self._stopping = number
            self._say(f"{number.name} passed on to the workers, which save and leave within {self._limits.stop_s:g} s")
            self._leave_within(self._limits.stop_s)
            for process in self._living.values():
                process.send(number)

    def _leave_within(self, seconds: float) -> None:
        self._deadline = min(self._deadline, self._now + seconds)

    def _kill_the_silent(self) -> None:
        for index, process in list(self._living.items()):
            if process.heard:
                self._last_heard[index], process.heard = self._now, False
            allowed = self._limits.pulse_s if process.has_pulse else self._limits.first_pulse_s
            if self._now - self._last_heard[index] > allowed:
                self._kill(index, f"without a pulse for {allowed:g} s: stopped, or stuck")

    def _kill_the_late(self) -> None:
        if self._now > self._deadline:
            for index in list(self._living):
                self._kill(index, "still there after the time to leave")
        elif self._deadline < float("inf") and not self._stopping:
            for index in [index for index, process in self._living.items() if process.waits]:
                self._kill(index, "which only waited for others")

    def _kill(self, index: int, why: str) -> None:
        """Kills a worker that would not leave; for the job it is lost."""
        self._say(f"worker {index} killed, {why}")
        self._living.pop(index).end()
        self._left(index, ExitCode.PEER_LOST)

    def _bury(self) -> None:
        for index, process in list(self._living.items()):
            if (code := process.code) is not None:
                process.end()
                self.regroups = self.regroups or process.regroups
                del self._living[index]
                self._say(f"worker {index} left with exit code {code}")
                # The signal came before the worker listened: nothing was to save yet.
                before_listening = self._stopping and code == 128 + self._stopping
                self._left(index, ExitCode.PREEMPTED if before_listening else code)

    def _left(self, index: int, code: int) -> None:
        """Notes a code; the others have some time to leave too, unless it is a good end."""
        self._codes[index] = code
        if code != ExitCode.DONE:
            self._leave_within(self._limits.stop_s if code == ExitCode.PREEMPTED else self._limits.leave_s)
