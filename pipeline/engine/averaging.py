"""The mean of the parameters over a window of steps. After the window's last step it replaces the parameters.

Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1, with a cycle of one step. The means are part of the state, and
training goes on from them.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

GROUP = "averages"  # of the state's names


def initial(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The means at step 0, by the path of their parameter."""
    return {f"{GROUP}/{path}": np.zeros_like(value) for path, value in parameters.items()}


def update(
    parameters: Sequence[tf.Variable],
    averages: Sequence[tf.Variable],
    window: tuple[int, int],
    step: tf.Tensor,
    mask: tf.Tensor | None = None,
) -> tf.Operation:
    """Adds the parameters of one step to the means. After the window's last step, sets the parameters to the means.

    window: the first step, and the step after the last. step: [] int64, the step whose update was made. mask: [] bool;
    where it is false, nothing changes.
    """
    first, end = window
    count = tf.cast(step - first + 1, tf.float32)

    def take() -> tf.Operation:
        for parameter, average in zip(parameters, averages, strict=True):
            part = (parameter - average) / count
            average.assign_add(part if mask is None else tf.where(mask, part, 0.0))
        return tf.no_op()

    def give() -> tf.Operation:
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.assign(average if mask is None else tf.where(mask, average, parameter))
        return tf.no_op()

    tf.cond((step >= first) & (step < end), take, tf.no_op)
    tf.cond(tf.equal(step, end - 1), give, tf.no_op)
    return tf.no_op()
