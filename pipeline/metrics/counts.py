"""Metrics of counts: right and wrong predictions by class, and the pairs of classes that are confused most."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]


class Counts(NamedTuple):
    """The predictions of each class, [classes] int64 each."""

    true_positives: Whole
    false_positives: Whole
    false_negatives: Whole

    @property
    def support(self) -> Whole:
        """The examples of each class."""
        return self.true_positives + self.false_negatives

    @property
    def predicted(self) -> Whole:
        """The examples that were taken for each class."""
        return self.true_positives + self.false_positives


def of_confusion(confusion: Whole) -> Counts:
    """The counts in a confusion matrix, [classes, classes]: true classes down, predicted classes across.

    Of examples with any number of labels it is [classes, 2, 2]: for each class, without and with the label down,
    without and with the prediction across.
    """
    if confusion.ndim == 3:
        return Counts(confusion[:, 1, 1], confusion[:, 0, 1], confusion[:, 1, 0])
    right = confusion.diagonal()
    return Counts(right, confusion.sum(axis=0) - right, confusion.sum(axis=1) - right)


def ratio(name: str, counts: Counts) -> Real:
    """precision, recall or f1 of each class, [classes].

    NaN for a class that neither an example has nor a prediction. Else 0 where the denominator is 0: precision of a
    class that is never predicted, recall of one without examples. So does scikit-learn.
    """
    over, under = _fraction(name, counts)
    occurs = counts.support + counts.predicted > 0
    return np.where(occurs, over / np.maximum(under, 1), np.nan)


def micro(name: str, counts: Counts) -> float:
    """precision, recall or f1 over all predictions together; NaN where there is none."""
    over, under = _fraction(name, Counts(*(part.sum(keepdims=True) for part in counts)))
    return float(over[0] / under[0]) if under[0] else math.nan


def _fraction(name: str, counts: Counts) -> tuple[Whole, Whole]:
    right, wrong, missed = counts
    fractions = {
        "precision": (right, right + wrong),
        "recall": (right, right + missed),
        "f1": (2 * right, 2 * right + wrong + missed),
    }
    return fractions[name]


def macro(values: Real) -> float:
    """The mean over the classes that have a value; NaN where none has. Exact but for one rounding."""
    known = values[~np.isnan(values)].tolist()
    return math.fsum(known) / len(known) if known else math.nan


def weighted(values: Real, support: Whole) -> float:
    """The mean over the classes that have a value, weighted by their examples; NaN where there are none."""
    known = ~np.isnan(values)
    total = int(support[known].sum())
    return math.fsum((values[known] * support[known]).tolist()) / total if total else math.nan


class Pair(NamedTuple):
    """A mistake between two classes."""

    label: int  # the true class
    predicted: int
    examples: int
    share: float  # of the examples of the true class


def worst_pairs(confusion: Whole, most: int) -> list[Pair]:
    """The most frequent mistakes, at most so many; equally frequent ones in the order of their classes.

    There are none of examples with several labels, whose confusion matrix is [classes, 2, 2].
    """
    if confusion.ndim == 3:
        return []
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong)
    found = wrong[rows, columns]
    kept = np.argsort(-found, kind="stable")[:most]
    examples = confusion.sum(axis=1)
    return [
        Pair(i, j, times, times / int(examples[i]))
        for i, j, times in zip(rows[kept].tolist(), columns[kept].tolist(), found[kept].tolist(), strict=True)
    ]


class Condensed(NamedTuple):
    """The part of a confusion matrix that holds the worst pairs, and all other classes as one, the last."""

    classes: list[int]  # those of a pair side by side
    confusion: Whole  # [len(classes) + 1, len(classes) + 1]: every example still counts once
    accuracies: Real  # [len(classes) + 1]: a share that is right; 0 without examples

    def names(self, class_names: Sequence[str]) -> list[str]:
        """The names of the classes, and one for the others."""
        others = len(class_names) - len(self.classes)
        return [*(class_names[number] for number in self.classes), f"{others:,} other{'s' * (others != 1)}"]


def condensed(confusion: Whole, most: int) -> Condensed:
    """The part of a confusion matrix, [classes, classes], that holds the worst pairs, of at most so many classes."""
    chosen: dict[int, None] = {}
    for pair in worst_pairs(confusion, most * most):
        new = {pair.label: None, pair.predicted: None}
        if len(chosen | new) <= most:
            chosen |= new
    classes = list(chosen)
    group = np.full(len(confusion), len(classes))
    group[classes] = range(len(classes))
    matrix = np.zeros([len(classes) + 1] * 2, np.int64)
    np.add.at(matrix, (group[:, None], group[None, :]), confusion)
    right = np.bincount(group, weights=confusion.diagonal(), minlength=len(matrix))
    return Condensed(classes, matrix, right / np.maximum(matrix.sum(axis=1), 1))
