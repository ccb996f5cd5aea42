"""The sum of gradients over workers, to the bit of one worker's, at the price of a ring."""

from collections.abc import Sequence

import tensorflow as tf

from pipeline.config import Config
from pipeline.engine import reduce
from pipeline.workers.collectives import Group

BUCKET = 1 << 20  # elements that are packed into one all-reduce; a larger tensor has one of its own
MANY, LARGE_BUCKET = 64, 8 * BUCKET  # from so many workers on, where hops cost more than overlap saves
_RANKS_INSTANCE, _FIRST_INSTANCE = 1, 2
_INSTANCES = 2  # that one bucket may use


class GradientSum:
    """Adds what lies on the device in force over all workers, each of which has the sum."""

    def __init__(self, group: Group, index: int, config: Config):
        """index: this worker's own."""
        self._group, self._wire = group, tf.as_dtype(config.wire)
        self._exact = config.all_reduce == "exact" and group.size > 2  # two can be added in one order only
        self._ranked = group.ranked(index, _RANKS_INSTANCE) if self._exact else []

    def added(self, gradients: Sequence[tf.Tensor], others: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The sums over all workers of float32 tensors: of the gradients, then of the others.

        exact: the tree of `reduce.tree` over the workers, with the same bits on each. fast: one ring, with bits that
        depend on the number of workers. --wire rounds the gradients alone.
        """
        if self._wire == tf.float32:
            return self._all_reduce([*gradients, *others], tf.float32, _FIRST_INSTANCE)
        rounded = self._all_reduce(gradients, self._wire, _FIRST_INSTANCE)
        return rounded + self._all_reduce(others, tf.float32, _FIRST_INSTANCE + len(gradients) * _INSTANCES)

    def _all_reduce(self, tensors: Sequence[tf.Tensor], wire: tf.DType, instance: int) -> list[tf.Tensor]:
        sums: dict[int, tf.Tensor] = {}
        # The last layers' gradients are there first: they travel while the first layers' are computed.
        order = list(reversed(range(len(tensors))))
        most = LARGE_BUCKET if self._exact and self._group.size >= MANY else BUCKET  # no bits of an exact sum
        for number, bucket in enumerate(reduce.buckets([tensors[i].shape.num_elements() for i in order], most)):
            members = [order[place] for place in bucket]
            packed = tf.concat([tf.reshape(tf.cast(tensors[i], wire), [-1]) for i in members], 0)
            total = tf.cast(self._sum(packed, instance + number * _INSTANCES), tf.float32)
            parts = tf.split(total, [tensors[i].shape.num_elements() for i in members])
            sums |= {i: tf.reshape(part, tensors[i].shape) for i, part in zip(members, parts, strict=True)}
        return [sums[i] for i in range(len(tensors))]

    def _sum(self, value: tf.Tensor, instance: int) -> tf.Tensor:
        if not self._exact:
            return self._group.sum(value, instance)
        return self._exact_sum(value, instance)

    def _exact_sum(self, value: tf.Tensor, instance: int) -> tf.Tensor:
        """Each worker gets its part of the vector from all, adds them along the tree, and sends the sum to all."""
        elements, workers = value.shape.num_elements(), self._group.size
        part = reduce.part_size(elements, workers)
        padded = tf.pad(value, [[0, part * workers - elements]])
        received = tf.unstack(self._group.exchange(tf.reshape(padded, [workers, part]), instance))
        of_worker = [received[self._ranked.index(worker)] for worker in range(workers)]
        own = reduce.tree(of_worker, tf.add)
        return self._group.gather(own, instance + 1)[:elements]
