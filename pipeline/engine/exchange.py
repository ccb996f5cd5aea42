"""A step's only question to other workers: the sums over all of them. The engine knows nothing else of them."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pipeline.engine.forward import ShardSums


class Total(NamedTuple):
    """The sums over all workers, on the first tower, with the number that ask to stop and the time that passed."""

    sums: ShardSums
    asking: tf.Tensor  # [] float32: how many workers ask to stop
    seconds: tf.Tensor  # [] float64: from the end of this worker's own gradients to the end of the all-reduce


# (this worker's sums on its first tower, the step [] int64, 1.0 if this worker asks to stop) -> Total
AllReduce = Callable[[ShardSums, tf.Tensor, tf.Tensor], Total]


def alone(own: ShardSums, step: tf.Tensor, asked: tf.Tensor) -> Total:
    """The all-reduce of a worker without others: its own sums."""
    return Total(own, tf.convert_to_tensor(asked, tf.float32), tf.zeros([], tf.float64))
