"""The pace of a job's workers and towers, and the one that all others wait for."""

import dataclasses
import math
import statistics
from collections.abc import Mapping
from typing import Any

PERSISTENT = 3  # looks in a row at which a worker is too slow, before a warning


@dataclasses.dataclass(frozen=True)
class Pace:
    """Steps of a worker, and the seconds that they took, in calls of the trainer that do not trace."""

    steps: int
    compute: float
    input: float  # the wait for examples
    wait: float  # for other workers' gradients
    towers: tuple[float, ...]  # of each tower, from its examples to its sums; 0 where this is not measured

    @classmethod
    def read(cls, numbers: Any, num_towers: int) -> "Pace | None":
        """The pace in a list of numbers, as `numbers` gives it; None for anything else."""
        good = isinstance(numbers, list) and len(numbers) == 4 + num_towers
        if not (good and all(type(n) in (int, float) and math.isfinite(n) and n >= 0 for n in numbers)):
            return None
        steps, compute, input_s, wait, *towers = numbers
        return cls(int(steps), compute, input_s, wait, tuple(towers))

    def numbers(self) -> list[float]:
        """The pace as a list of numbers, for other workers."""
        return [self.steps, *(round(s, 6) for s in (max(self.compute, 0.0), self.input, self.wait, *self.towers))]

    def plus(self, other: "Pace", sign: int = 1) -> "Pace":
        """The sum of both; their difference, with sign -1."""
        pairs = zip(self.numbers(), other.numbers(), strict=True)
        steps, compute, input_s, wait, *towers = (a + sign * b for a, b in pairs)
        return Pace(int(steps), compute, input_s, wait, tuple(towers))

    @property
    def own(self) -> float:
        """Seconds a step that the worker takes by itself."""
        return (self.compute + self.input) / self.steps


@dataclasses.dataclass(frozen=True)
class Look:
    """The paces of all workers over some steps."""

    paces: Mapping[int, Pace]  # by worker; each has steps

    @property
    def slowest(self) -> int:
        """The worker that takes longest by itself."""
        return max(self.paces, key=lambda worker: self.paces[worker].own)

    @property
    def excess(self) -> float:
        """Seconds a step that the slowest worker takes more than the median one (the lower median)."""
        return self.paces[self.slowest].own - statistics.median_low(pace.own for pace in self.paces.values())

    @property
    def share(self) -> float:
        """The excess, as a share of what the median worker takes."""
        return self.excess / max(self.paces[self.slowest].own - self.excess, 1e-9)

    @property
    def slowest_tower(self) -> tuple[int, int]:
        """The worker and tower of the tower that takes longest a step."""
        seconds = {(w, t): s / pace.steps for w, pace in self.paces.items() for t, s in enumerate(pace.towers)}
        return max(seconds, key=lambda tower: seconds[tower])

    def lost(self) -> float:
        """Seconds that the job would have saved, had the slowest worker been as fast as the median one."""
        return self.excess * self.paces[self.slowest].steps


class Stragglers:
    """Compares the paces of all workers from look to look."""

    def __init__(self, share: float):
        """share: a worker is too slow where it takes this share more than the median one."""
        self._share, self._before = share, dict[int, Pace]()
        self._slow, self._in_a_row, self._warned = -1, 0, set[int]()
        self.lost: dict[int, float] = {}  # the seconds that each worker cost, of all looks

    def look(self, paces: Mapping[int, Pace]) -> Look | None:
        """The paces since the last look; None unless every worker has taken steps since then."""
        lately = {w: pace.plus(self._before[w], -1) if w in self._before else pace for w, pace in paces.items()}
        if not lately or any(pace.steps < 1 for pace in lately.values()):
            return None
        self._before = dict(paces)
        look = Look(lately)
        self.lost[look.slowest] = self.lost.get(look.slowest, 0.0) + look.lost()
        slow = look.slowest if look.share > self._share else -1
        self._in_a_row = self._in_a_row + 1 if slow == self._slow else 1
        self._slow = slow
        return look

    def newly_slow(self) -> int | None:
        """The worker that was too slow at each of the last PERSISTENT looks, once; else None."""
        if self._slow < 0 or self._in_a_row < PERSISTENT or self._slow in self._warned:
            return None
        self._warned.add(self._slow)
        return self._slow
