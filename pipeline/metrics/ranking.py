"""Metrics of the order in which scores put the examples of a class. They need the score of every example."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Ranking(NamedTuple):
    """How well the scores of one class put its examples before the others. NaN where it has no meaning."""

    auroc: float  # the area under the ROC curve; needs examples of the class, and others
    average_precision: float  # the area under the precision-recall curve; needs examples of the class


def rank_class(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float32]) -> Ranking:
    """The ranking of one class: whether each example is of it, and its score. Both are [examples], in any order.

    AUROC is the share of pairs (an example of the class, another) in which the first has the higher score; equal
    scores count half (Hanley and McNeil 1982). It is counted in whole numbers and divided once. Average precision is
    the sum of precision times gained recall over falling thresholds, without interpolation. Where a score is not
    finite, both are NaN.
    """
    positives = int(np.count_nonzero(positive))
    negatives = len(positive) - positives
    if not positives or not np.isfinite(scores).all():
        return Ranking(math.nan, math.nan)
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # of each group of equal scores
    right = np.cumsum(positive[order], dtype=np.int64)[last]  # true positives at each threshold
    wrong = last + 1 - right
    gained, lost = np.diff(right, prepend=0), np.diff(wrong, prepend=0)
    doubled = int((gained * (2 * (negatives - wrong) + lost)).sum())  # twice the number of pairs in order
    terms = (gained * (right / (last + 1)))[gained > 0]
    return Ranking(
        doubled / (2 * positives * negatives) if negatives else math.nan, math.fsum(terms.tolist()) / positives
    )
