"""Which part of its work a worker is in, and whether it takes much longer than it ever did."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

MEETING = "meeting"  # the first phase; the meeting itself bounds its time
PATIENCE = 5  # times the longest time that a phase has taken before, after which it counts as stalled


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a worker's work."""

    name: str
    step: int
    since: float  # on this process's monotonic clock


class Phases:
    """The phase that this process is in, and the longest time of each. Written by the loop, read by the watchdog."""

    def __init__(self, stall_timeout: float, start_timeout: float, clock: Callable[[], float] = time.monotonic):
        """Seconds that a phase may take: at least the first, and the second where it never ended before."""
        self._least, self._first, self._clock = stall_timeout, start_timeout, clock
        self.current = Phase(MEETING, 0, clock())
        self.arrived: Callable[[], int] = lambda: -1  # the last step whose own part was computed
        self._longest: dict[str, float] = {}

    def enter(self, name: str, step: int) -> None:
        """The process begins another phase."""
        now, before = self._clock(), self.current
        self._longest[before.name] = max(self._longest.get(before.name, 0.0), now - before.since)
        self.current = Phase(name, step, now)

    @property
    def seconds(self) -> float:
        """How long the current phase takes by now."""
        return self._clock() - self.current.since

    @property
    def late(self) -> bool:
        """Whether the current phase takes much longer than it ever did."""
        if self.current.name == MEETING:
            return False
        longest = self._longest.get(self.current.name)
        return self.seconds > (self._first if longest is None else max(self._least, PATIENCE * longest))

    def status(self) -> dict[str, Any]:
        """The place of this worker, for the others; of types that JSON has."""
        place = {"phase": self.current.name, "step": self.current.step, "arrived": self.arrived()}
        return {**place, "seconds": round(self.seconds, 1), "late": self.late}
