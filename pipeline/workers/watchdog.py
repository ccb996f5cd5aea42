"""The watchdog: ends a process that would wait for ever, with the reason. It looks once a second, in its own thread.

It notices a worker that is silent or leaves, a worker that no longer advances, a run directory with a new owner, and a
stop that takes too long. It cannot notice that its own process is stopped or that its interpreter hangs; for this it
sends a pulse to the supervisor.
"""

import contextlib
import faulthandler
import json
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pipeline.config import Config
from pipeline.errors import PeerLostError, PipelineError, PreemptedError
from pipeline.process import pulse
from pipeline.process.exits import exit_now
from pipeline.process.preemption import Preemption
from pipeline.workers.peers import Peers
from pipeline.workers.phases import Phases

LOOK_S = 1.0
RESCUE_S = 60.0  # for the last save of a process that has parted from lost workers
GRACE_S = 3.0  # the main thread may still end by itself within this time, with a better reason


class Watchdog:
    """Watches over one process, from `start` until it ends."""

    def __init__(
        self,
        config: Config,
        phases: Phases,
        preemption: Preemption,
        peers: Peers | None,
        stop_file: Path,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._config, self._phases, self._preemption = config, phases, preemption
        self.peers = peers  # the other workers; None without any, or once this process has parted from them
        self._clock = clock
        self.check_owner: Callable[[], None] = lambda: None  # raises PipelineError once another process is the owner
        self.log: IO[str] | None = None  # a file for stacks and places, besides stderr
        self.report: Callable[[PipelineError], None] = lambda error: None  # called with the reason before the end
        self.rescue: Callable[[], None] = lambda: None  # saves what a waiting main thread has reached
        self.last_word: Callable[[PipelineError], None] = lambda error: None  # the same, after that; takes its time
        self._stop_file = stop_file
        self._asked: float | None = None  # the time when a stop was asked for
        self._stalled: float | None = None  # the time since when the workers seem to stand still
        self._supervised = False
        self._over = threading.Event()

    def start(self, pulse_fd: int | None) -> None:
        """Begins to watch. pulse_fd: a pipe that gets a byte a second, the pulse."""
        self._supervised = pulse_fd is not None
        threading.Thread(target=self._watch, args=(pulse_fd,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Ends the watch, when the process is about to end."""
        self._over.set()

    def _watch(self, pulse_fd: int | None) -> None:
        while not self._over.is_set():
            if pulse_fd is not None:
                pulse.give(pulse_fd)
            if error := self.reason():
                self._end(error)
            self._over.wait(LOOK_S)

    @property
    def seconds_left(self) -> float:
        """Seconds of --preemption_deadline that are left once a stop was asked for; infinite before."""
        asked = self._asked
        return math.inf if asked is None else asked + self._config.preemption_deadline - self._clock()

    def _look_for_stop(self) -> None:
        if os.path.exists(self._stop_file):  # False where the disk does not answer
            self._preemption.ask(str(self._stop_file))
        if self._preemption.requested and self._asked is None:
            self._asked = self._clock()

    def reason(self) -> PipelineError | None:
        """The reason why this process must end now; None if it need not. Looks for the stop file, too."""
        self._look_for_stop()
        try:
            self.check_owner()
        except PipelineError as error:
            return error
        if self.seconds_left < 0:
            return PreemptedError(
                f"the stop took longer than --preemption_deadline={self._config.preemption_deadline} s; "
                "the same command goes on from the last checkpoint"
            )
        if (peers := self.peers) is not None:
            return self._peer_trouble(peers)
        if self._supervised and self._phases.late:
            return _stalled({0: self._phases.status()})
        return None

    def _peer_trouble(self, peers: Peers) -> PipelineError | None:
        """The reason why the workers cannot go on together; None if they can."""
        if error := peers.farewell():
            return error
        silent = {index: s for index, s in peers.silent().items() if s > self._config.stall_timeout}
        if silent:
            names = ", ".join(f"worker {index} for {seconds:.0f} s" for index, seconds in silent.items())
            step = self._phases.current.step
            return PeerLostError(f"at step {step} nothing is heard of {names}; start the job again to go on")
        return self._lasting(_stalled(peers.fresh_statuses()), peers.delay_s)

    def _lasting(self, error: PipelineError | None, seconds: float) -> PipelineError | None:
        """The error once there has been one for so long, since what shows it may be out of date by as much."""
        now = self._clock()
        self._stalled = None if error is None else now if self._stalled is None else self._stalled
        return error if self._stalled is not None and now - self._stalled >= seconds else None

    def _end(self, error: PipelineError) -> None:
        """Ends the process, unless it ends by itself within GRACE_S, or parts from the others until then to save alone.

        If a peer is lost, first writes all places.
        """
        if isinstance(error, PeerLostError):
            self.write_places()
        if (peers := self.peers) is not None:
            peers.leave(error)
        if not self._over.wait(GRACE_S) and not (self._has_parted(peers) and self._over.wait(RESCUE_S)):
            if peers is not None:
                self._rescue()
            with contextlib.suppress(PipelineError):  # a full disk does not keep the process alive
                self.report(error)
            try:
                self.last_word(error)
            finally:
                exit_now(error)

    def _rescue(self) -> None:
        """Saves in a thread of its own, since a disk may not answer."""

        def work() -> None:
            with contextlib.suppress(PipelineError):
                self.rescue()

        saving = threading.Thread(target=work, name="rescue", daemon=True)
        saving.start()
        saving.join(RESCUE_S)

    def _has_parted(self, peers: Peers | None) -> bool:
        return peers is not None and self.peers is None

    def write_places(self) -> None:
        """Writes the status of every worker to the log, and the stacks of this one."""
        if self.log is None or (peers := self.peers) is None:
            return
        with contextlib.suppress(OSError):  # a full disk does not keep the process alive
            for index, status in peers.statuses().items():
                self.log.write(f"worker {index}: {json.dumps(status)}\n")
            self.log.flush()
            faulthandler.dump_traceback(self.log)


def _stalled(statuses: dict[int, dict[str, Any]]) -> PeerLostError | None:
    """The error that names the workers that are behind and late; None if there are none.

    The other workers have done their part of the step and wait: they are late too, but they are not the cause. A worker
    that is behind but not late may only have a slow disk.
    """
    furthest = max(status["arrived"] for status in statuses.values())
    behind = {i: s for i, s in statuses.items() if s["arrived"] < furthest} or statuses
    late = [f"worker {i} in {s['phase']} of step {s['arrived'] + 1}" for i, s in behind.items() if s["late"]]
    if not late:
        return None
    seconds = max(status["seconds"] for status in statuses.values())
    return PeerLostError(f"no step for {seconds:.0f} s; behind is {', '.join(late)}; start the job again to go on")
