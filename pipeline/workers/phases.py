"""The phases of a worker's process, with the present one's duration in comparison with earlier ones."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

START = "start"  # the phase until the first call of the trainer has ended
MEETING = "meeting"  # the first phase; the meeting itself bounds its time
PARTED = "parted"  # a phase without other workers, at the end, which bounds its own time too
PATIENCE = 5  # a phase is late after this multiple of the longest time that it has taken before


@dataclasses.dataclass(frozen=True)
class Phase:
    """A phase, such as "training" or "saving", and its beginning."""

    name: str
    step: int
    since: float  # seconds on this process's monotonic clock


class Phases:
    """The present phase of this process, and the longest time of each. The loop writes it, the watchdog reads it."""

    def __init__(self, stall_timeout: float, start_timeout: float, clock: Callable[[], float] = time.monotonic):
        """stall_timeout: seconds that every phase may take. start_timeout: seconds that its first time may take."""
        self._least, self._first, self._clock = stall_timeout, start_timeout, clock
        self.current = Phase(MEETING, 0, clock())
        self.arrived: Callable[[], int] = lambda: -1  # the last step of which this worker computed its own part
        self.pace: Callable[[], list[float]] = list  # see monitoring; sent along with the status
        self._longest: dict[str, float] = {}

    def enter(self, name: str, step: int) -> None:
        """Begins a phase, and ends the one before."""
        now, before = self._clock(), self.current
        self._longest[before.name] = max(self._longest.get(before.name, 0.0), now - before.since)
        self.current = Phase(name, step, now)

    @property
    def seconds(self) -> float:
        """Seconds since the present phase began."""
        return self._clock() - self.current.since

    @property
    def late(self) -> bool:
        """Whether the present phase takes much longer than ever before."""
        if self.current.name in (MEETING, PARTED):
            return False
        longest = self._longest.get(self.current.name)
        if longest is None or self.current.name == START:  # a start has several parts, of which none tells of the next
            return self.seconds > self._first
        return self.seconds > max(self._least, PATIENCE * longest)

    def status(self) -> dict[str, Any]:
        """The status of this worker, which it sends to the others, in types of JSON."""
        place = {"phase": self.current.name, "step": self.current.step, "arrived": self.arrived()}
        return {**place, "seconds": round(self.seconds, 1), "late": self.late, "pace": self.pace()}
