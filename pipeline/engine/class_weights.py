"""--class_weights: the weights of the classes' terms in the training loss."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.config import BALANCED, LARGEST_FLOAT32
from pipeline.errors import BadDataError
from pipeline.sources.labels import NO_CLASS, Labels
from pipeline.storage.files import expand
from pipeline.storage.reading import read_small


def of(value: str, labels: Labels, class_names: tuple[str, ...], evenly: bool = False) -> npt.NDArray[np.float32]:
    """The weights that `value`, balanced or a file, gives the classes: the mean over the examples of steps is 1.

    labels: of the training examples, n of them. Of one label each, the weights are [classes]: balanced ones are n /
    (classes * examples of the class), as in scikit-learn; those of a file are divided by their mean over the examples,
    or over the classes where each is drawn `evenly`.
    Of any number of labels, they are [2, classes], for the examples without and with each class: balanced ones are n /
    (2 * examples without it) and n / (2 * examples with it); those of a file are divided by their mean over the
    classes.
    Raises BadDataError for a file that does not give each class a weight, and for balanced classes without examples.
    """
    counts = np.bincount(labels[labels != NO_CLASS].ravel(), minlength=len(class_names)).astype(np.float64)
    multi_label = labels.ndim == 2
    if value == BALANCED:
        _check_counts(counts, len(labels) if multi_label else math.inf, class_names)
        if multi_label:
            return (len(labels) / (2 * np.stack([len(labels) - counts, counts]))).astype(np.float32)
        return (len(labels) / (len(counts) * counts)).astype(np.float32)
    weights = _read(value, class_names)
    shares = np.full(len(counts), 1 / len(counts)) if multi_label or evenly else counts / len(labels)
    mean = math.fsum(weights * shares)
    if not mean:
        raise BadDataError(f"class_weights={value} gives weight 0 to all training examples; raise one")
    scaled = (weights / mean).astype(np.float32)
    return np.stack([scaled, scaled]) if multi_label else scaled


def _check_counts(counts: npt.NDArray[np.float64], most: float, class_names: tuple[str, ...]) -> None:
    """Raises BadDataError for a class that no training example has, or that all have where there are `most`."""
    for name, count in zip(class_names, counts, strict=True):
        if not 0 < count < most:
            raise BadDataError(
                f"class_weights=balanced: {'all' if count else 'no'} training examples are of class {name}; "
                "change the data, or give the weights in a file"
            )


def _read(value: str, class_names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """The weights in a file, one a line. Raises BadDataError."""
    path = expand(value, "class_weights")
    try:
        lines = read_small(Path(path)).decode().splitlines()
    except OSError as error:
        raise BadDataError(f"class_weights={path} cannot be read ({error.strerror}); correct it") from None
    except UnicodeDecodeError:
        raise BadDataError(f"class_weights={path} is not UTF-8 text; write one weight a line") from None
    if len(lines) != len(class_names):
        raise BadDataError(
            f"class_weights={path} has {len(lines)} lines and the data {len(class_names)} classes, from "
            f"{class_names[0]} to {class_names[-1]}; write one weight a line, in their order"
        )
    return np.array([_weight(path, number, line) for number, line in enumerate(lines, 1)])


def _weight(path: str, number: int, line: str) -> float:
    try:
        weight = float(line)
    except ValueError:
        weight = math.nan
    if not 0 <= weight <= LARGEST_FLOAT32:
        raise BadDataError(f"class_weights={path}: line {number} is '{line[:40]}'; a weight is a number of 0 or more")
    return weight
