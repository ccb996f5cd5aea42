"""How long rounds may be so that all groups end in time."""

import time
from collections.abc import Callable

LEAST_ROUND_S, LONGEST_ROUND_S = 0.25, 1.5
START_S = 30  # of contenders that start together, until it has been seen


class Budget:
    """A number of seconds for some groups, of which each starts its processes anew."""

    def __init__(self, seconds: float, num_groups: int, clock: Callable[[], float] = time.monotonic):
        self._clock, self._groups_left = clock, num_groups
        self._end, self._start_s = clock() + seconds, 0.0
        self._began = self._rounds_s = 0.0

    def begin(self, num_rounds: int, num_starts: int) -> float:
        """The least seconds of each of a group's rounds, over all contenders; 0 if the group would end too late.

        num_starts: how many times contenders start together.
        """
        self._began = self._clock()
        left, starts = self._end - self._began, self._start_s or START_S * num_starts
        each = (left / self._groups_left - starts) / num_rounds
        self._groups_left -= 1
        if left < starts + LEAST_ROUND_S * num_rounds:
            return 0.0
        seconds = min(LONGEST_ROUND_S, max(LEAST_ROUND_S, each))
        self._rounds_s = seconds * num_rounds
        return seconds

    def end(self) -> None:
        """The group has been measured: its start took what its rounds did not."""
        self._start_s = max(1.0, self._clock() - self._began - self._rounds_s)
