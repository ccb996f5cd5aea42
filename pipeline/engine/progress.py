"""The state of a loop over steps inside of a TensorFlow function: a part on the first tower, a part on the host."""

from typing import NamedTuple

import tensorflow as tf


class Figures(NamedTuple):
    """The figures of the last step that counts, on the first tower. A step after one that diverged does not count.

    All are [] float32: TensorFlow's loops keep other types in the host's memory.
    """

    applied: tf.Tensor  # the steps of this call until now
    diverged: tf.Tensor  # 0 or 1
    loss: tf.Tensor
    correct: tf.Tensor
    gradient_norm: tf.Tensor
    learning_rate: tf.Tensor


class Progress(NamedTuple):
    """The state of a loop over steps, on the host."""

    step: tf.Tensor  # [] int64: the next one
    asking: tf.Tensor  # [] float32: the sum of what the workers ask for, see `exchange`; a loop ends if it is not 0
    input_seconds: tf.Tensor  # [] float64
    reduction_seconds: tf.Tensor  # [] float64
    tower_seconds: tf.Tensor  # [towers] float64
