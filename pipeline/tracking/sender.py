"""A tracker that is brought up to date with a run directory, again and again."""

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.monitoring.history import ENDS, History
from pipeline.tracking.points import points, settled
from pipeline.tracking.tail import Tail
from pipeline.tracking.tracker import Point, Tracked, Tracker

MOST_POINTS = 500  # that are sent at once, but for those of the last line; MLflow takes 1,000


class Sender:
    """Sends a tracker what it lacks. It remembers what it has sent."""

    def __init__(self, tracker: Tracker, run: Tracked):
        self._tracker, self._run, self._tail = tracker, run, Tail(run.path / "metrics.jsonl")
        self._is_open = False
        self._sent: set[tuple[str, int]] = set()
        self._next = 0  # the first line of which points may be missing
        self._told: bytes | None = None  # the end that was told, as its line; b"" if none; None: nothing was told

    def update(self) -> None:
        """Sends what is new. Raises whatever goes wrong; the next call begins with what is there then."""
        try:
            if not self._tail.look():
                self._next = 0
            if not self._is_open:
                self._sent, self._next, self._told = self._tracker.open(self._run, self._began), 0, None
                self._is_open = True
            self._send()
            self._tell()
            self._tracker.publish(self._run)
        except BaseException:
            self._is_open = False
            raise

    def close(self) -> None:
        """Closes the tracker after the last update; another one may follow nevertheless."""
        self._is_open = False
        self._tracker.close()

    @property
    def _began(self) -> float:
        """The time when the run began, in Unix seconds."""
        return self._tail.lines[0].event["time"] if self._tail.lines else time.time()

    def _send(self) -> None:
        """Sends the points of new lines, up to the last that is settled."""
        lines = self._tail.lines
        reached = max((line.event["step"] for line in lines[self._next :]), default=0)
        is_finished = any(line.event["event"] == "result" for line in lines[-1:])
        last = reached if is_finished else settled(self._run.config, reached)
        while self._next < len(lines):
            pending: dict[tuple[str, int], Point] = {}
            end = self._next
            while end < len(lines) and lines[end].event["step"] <= last and len(pending) < MOST_POINTS:
                found = {(point.name, point.step): point for point in points(lines[end].event)}
                pending |= {key: point for key, point in found.items() if key not in self._sent}
                end += 1
            if end == self._next:
                return
            if pending:
                self._tracker.send(list(pending.values()))
            self._sent |= pending.keys()
            self._next = end

    def _tell(self) -> None:
        """Tells once that the run goes on, and once how each launch ended."""
        last = self._tail.lines[-1] if self._tail.lines else None
        end = last.text if last and last.event["event"] in ENDS else b""
        if last is None or end == self._told:
            return
        config = self._run.config
        status = History(self._tail.lines).status(config.steps, config.early_stop)
        self._tracker.tell(self._run, status, last.event)
        self._told = end


class Alone:
    """One process at a time tracks a run: it holds a lock on the run's directory. Any thread may call `take`."""

    def __init__(self, run_dir: Path):
        self._path, self._guard = run_dir, threading.Lock()
        self._descriptor: int | None = None

    def take(self) -> None:
        """Takes the lock, unless this object has it. Raises StorageError if another process has it."""
        with self._guard:
            if self._descriptor is None:
                self._descriptor = self._locked()

    def release(self) -> None:
        """Lets another process track the run."""
        with self._guard:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _locked(self) -> int:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # a file system without locks gives none
            if error.errno == errno.EWOULDBLOCK:
                os.close(descriptor)
                raise StorageError(f"another process tracks run_dir={self._path}; wait for its end") from None
        return descriptor
