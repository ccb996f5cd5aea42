"""Calibration: how far the confidence of predictions is from the share of them that is right."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NUM_BINS = 15


class Calibration(NamedTuple):
    """Predictions by their confidence, in NUM_BINS intervals of equal width, (k / NUM_BINS, (k + 1) / NUM_BINS]."""

    examples: npt.NDArray[np.int64]  # [NUM_BINS]
    right: npt.NDArray[np.int64]  # [NUM_BINS]: of these, the right ones
    confidence: npt.NDArray[np.float64]  # [NUM_BINS]: sums, added in the order of the examples

    @property
    def error(self) -> float:
        """The expected calibration error (Guo et al. 2017, equation 3), in [0, 1]."""
        gaps = np.abs(self.right - self.confidence)
        return math.fsum(gaps.tolist()) / int(self.examples.sum())

    def as_dict(self) -> dict[str, Any]:
        """The error, and the intervals that hold predictions: their upper edge, mean confidence and share right."""
        rows = zip(self.examples.tolist(), self.right.tolist(), self.confidence.tolist(), strict=True)
        bins = [
            {"up_to": (k + 1) / NUM_BINS, "examples": n, "confidence": confidence / n, "accuracy": right / n}
            for k, (n, right, confidence) in enumerate(rows)
            if n
        ]
        return {"value": self.error, "bins": bins}


def calibrate(confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]) -> Calibration:
    """The calibration of predictions: the probability of each predicted class, and whether it is the label.

    Both are [examples], at least one. Predictions whose confidence is NaN make the error NaN.
    """
    exact = confidence.astype(np.float64)  # 15 times a float32 is exact in 53 bits, so no edge is missed
    numbers = np.ceil(np.nan_to_num(exact, nan=1.0) * NUM_BINS) - 1
    bins = np.clip(numbers, 0, NUM_BINS - 1).astype(np.int64)
    return Calibration(
        np.bincount(bins, minlength=NUM_BINS),
        np.bincount(bins[right], minlength=NUM_BINS),
        np.bincount(bins, weights=exact, minlength=NUM_BINS).astype(np.float64),
    )
