"""Confidence intervals of shares."""

import math
from typing import NamedTuple

Z_95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution


class Interval(NamedTuple):
    """A confidence interval of 95 %, in [0, 1]."""

    low: float
    high: float


def wilson(successes: int, trials: int) -> Interval:
    """The interval of a share, from at least one trial (Wilson 1927)."""
    share, spread = successes / trials, Z_95**2 / trials
    middle = (share + spread / 2) / (1 + spread)
    half = Z_95 * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    # At its ends the formula gives 0 and 1 but for rounding.
    return Interval(middle - half if successes else 0.0, middle + half if successes < trials else 1.0)
