"""Ends a process that would wait forever, and says why: it looks on from a thread of its own, once a second.

What it notices: another worker that is silent or leaves, a worker that no longer comes forward, a run directory that
has a new owner, a stop that takes longer than it may. What it cannot: that its own process is stopped, or its
interpreter hangs; for this it gives a sign of life to whoever started it.
"""

import contextlib
import faulthandler
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pipeline.config import Config
from pipeline.errors import PeerLostError, PipelineError, PreemptedError
from pipeline.process.exits import exit_now
from pipeline.process.preemption import Preemption
from pipeline.workers.peers import Peers
from pipeline.workers.phases import Phases

LOOK_S = 1.0
GRACE_S = 3.0  # for which the main thread may still end by itself, with a better reason


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
        self._config, self._phases, self._preemption, self._peers = config, phases, preemption, peers
        self._clock = clock
        self.check_owner: Callable[[], None] = lambda: None  # raises PipelineError once the directory is another's
        self.log: IO[str] | None = None  # where stacks and reasons are written besides stderr
        self.tell: Callable[[PipelineError], None] = lambda error: None
        self._stop_file = stop_file
        self._asked: float | None = None  # when a stop was
        self._supervised = False
        self._over = threading.Event()

    def start(self, pulse_fd: int | None) -> None:
        """Begins to watch. pulse_fd: a pipe that gets a byte a second, as a sign of life."""
        self._supervised = pulse_fd is not None
        threading.Thread(target=self._watch, args=(pulse_fd,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Looks away: from here on the process only has to end."""
        self._over.set()

    def _watch(self, pulse_fd: int | None) -> None:
        while not self._over.is_set():
            if pulse_fd is not None:
                _pulse(pulse_fd)
            if error := self.reason():
                self._end(error)
            self._over.wait(LOOK_S)

    def _look_for_stop(self) -> None:
        if os.path.exists(self._stop_file):  # False also where a disk does not answer
            self._preemption.ask(str(self._stop_file))
        if self._preemption.requested and self._asked is None:
            self._asked = self._clock()

    def reason(self) -> PipelineError | None:
        """Why this process must end now, if it must; looks also for the stop file."""
        self._look_for_stop()
        try:
            self.check_owner()
        except PipelineError as error:
            return error
        if self._asked is not None and self._clock() - self._asked > self._config.preemption_deadline:
            return PreemptedError(
                f"the stop took longer than --preemption_deadline={self._config.preemption_deadline} s; "
                "the same command goes on from the last checkpoint"
            )
        if self._peers is not None:
            return self._peer_trouble(self._peers)
        if self._supervised and self._phases.late:
            return _stalled({0: self._phases.status()})
        return None

    def _peer_trouble(self, peers: Peers) -> PipelineError | None:
        """What keeps the workers from going on together, if something does."""
        if error := peers.farewell():
            return error
        silent = {index: s for index, s in peers.silent().items() if s > self._config.stall_timeout}
        if silent:
            names = ", ".join(f"worker {index} for {seconds:.0f} s" for index, seconds in silent.items())
            step = self._phases.current.step
            return PeerLostError(f"at step {step} nothing is heard of {names}; start the job again to go on")
        return _stalled(peers.statuses())

    def _end(self, error: PipelineError) -> None:
        """Writes every worker's place and this one's stacks, and ends the process unless it ends by itself first."""
        if isinstance(error, PeerLostError):
            self.write_places()
        if self._peers is not None:
            self._peers.leave(error)
        if not self._over.wait(GRACE_S):
            with contextlib.suppress(PipelineError):  # the disk may be full: no reason to stay
                self.tell(error)
            exit_now(error)

    def write_places(self) -> None:
        """Writes to the log where every worker is, and the stacks of this one."""
        if self.log is None or self._peers is None:
            return
        with contextlib.suppress(OSError):  # as above
            for index, status in self._peers.statuses().items():
                self.log.write(f"worker {index}: {json.dumps(status)}\n")
            self.log.flush()
            faulthandler.dump_traceback(self.log)


def _stalled(statuses: dict[int, dict[str, Any]]) -> PeerLostError | None:
    """The error that names whoever is behind and late; the others have done their part of a step and wait for its.

    They are late too, but not to blame: the one behind may have something to do that takes long, as a slow disk does.
    """
    furthest = max(status["arrived"] for status in statuses.values())
    behind = {i: s for i, s in statuses.items() if s["arrived"] < furthest} or statuses
    late = [f"worker {i} in {s['phase']} of step {s['arrived'] + 1}" for i, s in behind.items() if s["late"]]
    if not late:
        return None
    seconds = max(status["seconds"] for status in statuses.values())
    return PeerLostError(f"no step for {seconds:.0f} s; behind is {', '.join(late)}; start the job again to go on")


def _pulse(pulse_fd: int) -> None:
    try:
        os.write(pulse_fd, b".")
    except OSError:  # whoever started this process is gone; it looks after that itself
        return
