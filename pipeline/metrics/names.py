"""The names of --metrics, and what each is about. Imports no NumPy."""

import re
from collections.abc import Sequence

from pipeline.errors import UsageError
from pipeline.text.spelling import nearest

OF_COUNTS = ("precision", "recall", "f1")  # of the classes as they were predicted
OF_SCORES = ("auroc", "average_precision")  # of the order in which the scores put the examples of a class
CALIBRATION = "calibration_error"
BY_CLASS = (*OF_COUNTS, *OF_SCORES)
KNOWN = ("topK", *BY_CLASS, CALIBRATION)
ALL = "all"
USUAL_K = 5  # of `all`

Names = tuple[str, ...]


def top_k(name: str) -> int:
    """'top5' -> 5; 0 for a name of another form."""
    match = re.fullmatch(r"top([1-9][0-9]{0,5})", name)
    return int(match[1]) if match else 0


def parse(text: str) -> Names:
    """'top5,f1' -> ('top5', 'f1'); 'all' -> ('all',); '' -> (). Raises UsageError."""
    names = tuple(text.split(",")) if text else ()
    for name in names:
        if name not in (*BY_CLASS, CALIBRATION, ALL) and not top_k(name):
            raise UsageError(f"metrics: '{name}' is unknown{nearest(name, (*KNOWN, ALL))}; write topK as top{USUAL_K}")
        if names.count(name) > 1:
            raise UsageError(f"metrics={text} names {name} twice; give each metric once")
    if ALL in names and len(names) > 1:
        raise UsageError(f"metrics={text} has all and more; give --metrics=all, or name each metric")
    return names


def check_task(names: Sequence[str], multi_label: bool) -> None:
    """Raises UsageError for a metric that data with one label an example, or with several, does not have."""
    wrong = [name for name in names if multi_label and (name == CALIBRATION or top_k(name))]
    if wrong:
        raise UsageError(
            f"metrics={wrong[0]} is of data with one label an example, and --multi_label data has several; "
            f"use {', '.join(BY_CLASS)}"
        )


def settled(names: Sequence[str], num_classes: int, multi_label: bool = False) -> Names:
    """The metrics to compute for data of these classes, in the order of KNOWN: `all` becomes those that it has.

    Raises UsageError for a metric that such data does not have.
    """
    check_task(names, multi_label)
    if large := [name for name in names if top_k(name) > num_classes]:
        raise UsageError(
            f"metrics={large[0]} takes the {top_k(large[0])} likeliest classes, and the data has {num_classes}; "
            f"use a K of {num_classes} at most"
        )
    if ALL not in names:
        return tuple(sorted(names, key=_place))
    if multi_label:
        return BY_CLASS
    return (*((f"top{USUAL_K}",) if num_classes > USUAL_K else ()), *BY_CLASS, CALIBRATION)


def _place(name: str) -> tuple[int, int]:
    return (0, top_k(name)) if top_k(name) else (KNOWN.index(name), 0)
