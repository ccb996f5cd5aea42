"""What a step asks of other workers: the sums over all of them. The engine knows no other worker than by this."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pipeline.engine.forward import ShardSums


class Total(NamedTuple):
    """The sums over all workers, on the first tower, and what came with them."""

    sums: ShardSums
    asking: tf.Tensor  # [] float32: how many workers ask to stop
    seconds: tf.Tensor  # [] float64: from this worker's own gradients to those of all


# (this worker's sums on its first tower, the step [] int64, 1.0 if this worker asks to stop) -> Total
AllReduce = Callable[[ShardSums, tf.Tensor, tf.Tensor], Total]


def alone(own: ShardSums, step: tf.Tensor, asked: tf.Tensor) -> Total:
    """The all-reduce of one worker: its own sums."""
    return Total(own, tf.convert_to_tensor(asked, tf.float32), tf.zeros([], tf.float64))
