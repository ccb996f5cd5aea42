"""Scales: the ticks of an axis, the coordinates of values, and the points that are drawn. Pure functions."""

import dataclasses
import math
from collections.abc import Sequence

from pipeline.monitoring.history import Points

MOST_TICKS = 6
LOGARITHMIC_FROM = 30  # an axis of positive values whose ratio is at least this may be logarithmic


@dataclasses.dataclass(frozen=True)
class Scale:
    """Values from low to high, along the coordinates from start to stop."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The coordinate of a value. A value beyond an end lies on that end."""
        low, high, value = (math.log(v) for v in self._ends(value)) if self.logarithmic else self._ends(value)
        return self.start + (self.stop - self.start) * (value - low) / (high - low)

    def _ends(self, value: float) -> tuple[float, float, float]:
        return self.low, self.high, min(max(value, self.low), self.high)

    def ticks(self) -> list[float]:
        """At most MOST_TICKS round values, rising, from low to high."""
        return logarithmic_ticks(self.low, self.high) if self.logarithmic else linear_ticks(self.low, self.high)


def fitted(values: Sequence[float], start: float, stop: float, may_be_logarithmic: bool = False) -> Scale:
    """A scale that holds all values. Where all are equal, it leaves room on both sides."""
    low, high = min(values), max(values)
    if may_be_logarithmic and low > 0 and high / low >= LOGARITHMIC_FROM:
        return Scale(low, high, start, stop, logarithmic=True)
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    return Scale(low, high, start, stop)


def linear_ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten (Heckbert 1990, Nice numbers for graph labels)."""
    rough = (high - low) / (MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with twice and five times each if there is room; every n-th power if there are too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for nice in ((1, 2, 5), (1,)):
        ticks = [n * 10.0**power for power in powers for n in nice if low <= n * 10.0**power <= high]
        if len(ticks) <= MOST_TICKS:
            return ticks
    return ticks[:: -(-len(ticks) // MOST_TICKS)]


def thinned(points: Points, most: int) -> Points:
    """About `most` of the points, at most. The least and the greatest of each stretch stay, so no spike is lost."""
    if len(points) <= most:
        return points
    each = -(-2 * len(points) // most)
    kept = []
    for first in range(0, len(points), each):
        stretch = points[first : first + each]
        kept += sorted({min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])})
    return kept
