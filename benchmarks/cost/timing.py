"""Seconds of the processor, and lines through them."""

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np


def processor_s(call: Callable[[], object], times: int) -> float:
    """The median seconds of the processor for a call, of three rounds after a first call."""
    call()
    rounds = []
    for _ in range(3):
        used = time.process_time()
        for _ in range(times):
            call()
        rounds.append((time.process_time() - used) / times)
    return statistics.median(rounds)


def line(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds at size 0 and for each unit of size, by least squares; neither is below 0."""
    slope, start = np.polyfit(sizes, seconds, 1)
    return max(float(start), 0.0), max(float(slope), 0.0)
