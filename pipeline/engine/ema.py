"""--ema: the exponential moving averages of parameters and statistics, which evaluation and export take.

They are part of the state beside the parameters, which training goes on with.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

PARAMETERS, STATISTICS = "ema", "ema_statistics"  # of the state's names
_GROUPS = {"parameters": PARAMETERS, "statistics": STATISTICS}

Value = TypeVar("Value")


def initial(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The averages at step 0, of a state's values."""
    return {averaged: values[name] for name in values if (averaged := _averaged(name))}


def update(
    current: Sequence[tf.Variable],
    averages: Sequence[tf.Variable],
    decay: float,
    step: tf.Tensor,
    mask: tf.Tensor | None = None,
) -> tf.Operation:
    """Average += (1 - d) * (current - average), with d = min(decay, step / (step + 9)).

    So the first averages are short, as in TensorFlow's ExponentialMovingAverage, and initial values do not count.
    step: [] int64, the step whose update was made. mask: [] bool; where it is false, nothing changes.
    """
    count = tf.cast(step, tf.float32)
    share = 1 - tf.minimum(decay, count / (count + 9))
    if mask is not None:
        share = tf.where(mask, share, 0.0)
    for variable, average in zip(current, averages, strict=True):
        average.assign_add((variable - average) * share)
    return tf.no_op()


def is_in(values: Mapping[str, Value]) -> bool:
    """Whether a state has averages."""
    return any(name.startswith(f"{PARAMETERS}/") for name in values)


def in_place(values: Mapping[str, Value]) -> dict[str, Value]:
    """The state with the averages also in the place of what they are averages of."""
    return {name: values[_averaged(name) or name] for name in values}


def _averaged(name: str) -> str:
    """The name of the average of a parameter or statistic; "" for another part of a state."""
    group, _, path = name.partition("/")
    return f"{_GROUPS[group]}/{path}" if group in _GROUPS else ""
