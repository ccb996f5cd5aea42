"""The state of a loop over steps inside of a TensorFlow function: a part on the first tower, a part on the host."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf


class Figures(NamedTuple):
    """The figures of the last step that counts, each [] float32. A step after one that diverged does not count."""

    applied: tf.Tensor  # the steps of this call until now
    diverged: tf.Tensor  # 0 or 1
    loss: tf.Tensor
    correct: tf.Tensor
    gradient_norm: tf.Tensor
    learning_rate: tf.Tensor


class KeptFigures:
    """The figures between the steps of a loop, in a variable on the device in force when it is made.

    As values of the loop they would pass through the host's memory at every step, and a GPU would wait for that.
    """

    def __init__(self) -> None:
        self._variable = tf.Variable(tf.zeros([len(Figures._fields)]), name="figures")

    def read(self) -> Figures:
        """The figures as they are now."""
        return Figures(*tf.unstack(self._variable.read_value()))

    def read_as_numpy(self) -> npt.NDArray[np.float32]:
        """The figures once all calls have ended, in the order of their fields."""
        return self._variable.numpy()

    def clear(self) -> None:
        """Sets all to 0."""
        self._variable.assign(tf.zeros_like(self._variable))

    def keep(self, latest: Figures, going: tf.Tensor) -> None:
        """Sets all if the step counts, `going` [] bool."""
        self._variable.assign(tf.where(going, tf.stack(latest), self._variable))


class Progress(NamedTuple):
    """The state of a loop over steps, on the host."""

    step: tf.Tensor  # [] int64: the next one
    asking: tf.Tensor  # [] float32: the sum of what the workers ask for, see `exchange`; a loop ends if it is not 0
    input_seconds: tf.Tensor  # [] float64
    reduction_seconds: tf.Tensor  # [] float64
    tower_seconds: tf.Tensor  # [towers] float64
