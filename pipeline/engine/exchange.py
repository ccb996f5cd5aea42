"""A step's only question to other workers: the sums over all of them. The engine knows nothing else of them."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pipeline.engine.forward import ShardSums

# What a worker may ask for at a step. The sum over up to 4,095 workers, exact in float32, tells what was asked for:
# all of them see it after the same step.
NOTHING, SAVE, STOP = 0.0, 1 / 4096, 1.0


class Total(NamedTuple):
    """The sums over all workers, on the first tower, with what they ask for and the time that passed."""

    sums: ShardSums
    asking: tf.Tensor  # [] float32: the sum of what the workers ask for
    seconds: tf.Tensor  # [] float64: from the end of this worker's own gradients to the end of the all-reduce


# (this worker's sums on its first tower, the step [] int64, what this worker asks for [] float32) -> Total
AllReduce = Callable[[ShardSums, tf.Tensor, tf.Tensor], Total]


def alone(own: ShardSums, step: tf.Tensor, asked: tf.Tensor) -> Total:
    """The all-reduce of a worker without others: its own sums."""
    return Total(own, tf.convert_to_tensor(asked, tf.float32), tf.zeros([], tf.float64))
