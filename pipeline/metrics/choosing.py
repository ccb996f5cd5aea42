"""Which evaluation of a run is the better one: the metrics of --best_by and --early_stop. Imports no NumPy."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.errors import UsageError
from pipeline.metrics import names
from pipeline.text.spelling import nearest

ACCURACY, LOSS = ALWAYS = ("accuracy", "loss")  # what every evaluation computes
_LESS_IS_BETTER = (LOSS, names.CALIBRATION)


class EarlyStop(NamedTuple):
    """The rule of --early_stop: a run ends after `patience` evaluations in a row without a better `metric`."""

    metric: str
    patience: int


def is_metric(name: str) -> bool:
    """Whether an evaluation can have a metric of this name."""
    return name in (*ALWAYS, *names.BY_CLASS, names.CALIBRATION) or names.top_k(name) > 0


def better(metric: str) -> Callable[..., Any]:
    """The function that takes the better of several values of a metric: max or min."""
    return min if metric in _LESS_IS_BETTER else max


def early_stop(text: str) -> EarlyStop | None:
    """'loss:5' -> EarlyStop('loss', 5); '' -> None. Raises UsageError."""
    match = re.fullmatch(r"(\w+):(\d{1,9})", text)
    if text and not (match and is_metric(match[1]) and int(match[2])):
        raise UsageError(
            f"early_stop={text} is not METRIC:PATIENCE, a metric ({' or '.join(ALWAYS)}) and a number of evaluations "
            "from 1 on; write it as accuracy:5, or with one of --metrics, as f1:5"
        )
    return EarlyStop(match[1], int(match[2])) if match else None


def require_known(metric: str) -> None:
    """Raises UsageError for a value of --best_by that is no metric."""
    if not is_metric(metric):
        raise UsageError(f"best_by={metric} is unknown{nearest(metric, (*ALWAYS, *names.KNOWN))}")


def require_computed(judges: Mapping[str, str], computed: Sequence[str]) -> None:
    """Raises UsageError for the first metric that evaluations do not compute. judges: the metrics by flag."""
    for flag, metric in judges.items():
        if metric not in (*ALWAYS, *computed):
            raise UsageError(
                f"{flag} goes by {metric}, which evaluations do not compute; add {metric} to --metrics, or use "
                f"{' or '.join(ALWAYS)}"
            )
