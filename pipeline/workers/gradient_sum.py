"""The sum of gradients over workers, in buckets, to the bit of one worker's."""

from collections.abc import Sequence

import tensorflow as tf

from pipeline.config import Config
from pipeline.engine import reduce
from pipeline.workers.collectives import Group
from pipeline.workers.exact_sum import INSTANCES, ExactSum

BUCKET = 1 << 20  # elements that are packed into one all-reduce; a larger tensor has one of its own
_STAGES = 2  # the key of the first group of a stage
_FIRST_INSTANCE = 2


class GradientSum:
    """Adds what lies on the device in force over all workers, each of which has the sum."""

    def __init__(self, group: Group, index: int, config: Config):
        """index: this worker's own."""
        self._group, self._wire = group, tf.as_dtype(config.wire)
        is_exact = config.all_reduce == "exact" and group.size > 2  # two can be added in one order only
        self._exact = ExactSum(group, index, _STAGES) if is_exact else None

    def added(self, gradients: Sequence[tf.Tensor], others: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The sums over all workers of float32 tensors: of the gradients, then of the others.

        exact: the tree of `reduce.tree` over the workers, with the same bits on each. fast: one ring, with bits that
        depend on the number of workers. --wire rounds the gradients alone.
        """
        if self._wire == tf.float32:
            return self._all_reduce([*gradients, *others], tf.float32, _FIRST_INSTANCE)
        rounded = self._all_reduce(gradients, self._wire, _FIRST_INSTANCE)
        return rounded + self._all_reduce(others, tf.float32, _FIRST_INSTANCE + len(gradients) * INSTANCES)

    def _all_reduce(self, tensors: Sequence[tf.Tensor], wire: tf.DType, instance: int) -> list[tf.Tensor]:
        sums: dict[int, tf.Tensor] = {}
        # The last layers' gradients are there first: they travel while the first layers' are computed.
        order = list(reversed(range(len(tensors))))
        for number, bucket in enumerate(reduce.buckets([tensors[i].shape.num_elements() for i in order], BUCKET)):
            members = [order[place] for place in bucket]
            packed = tf.concat([tf.reshape(tf.cast(tensors[i], wire), [-1]) for i in members], 0)
            total = tf.cast(self._sum(packed, instance + number * INSTANCES), tf.float32)
            parts = tf.split(total, [tensors[i].shape.num_elements() for i in members])
            sums |= {i: tf.reshape(part, tensors[i].shape) for i, part in zip(members, parts, strict=True)}
        return [sums[i] for i in range(len(tensors))]

    def _sum(self, value: tf.Tensor, instance: int) -> tf.Tensor:
        return self._exact.added(value, instance) if self._exact else self._group.sum(value, instance)
