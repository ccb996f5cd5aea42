"""The tf.data pipeline of one tower: positions -> fetch -> decode -> augment -> prefetch to its device."""

from collections.abc import Sequence

import tensorflow as tf

from pipeline import augment
from pipeline.plan import Plan
from pipeline.sources.base import Source, find_broken


class Batches:
    """What each shard of each step trains on; a pure function of the step."""

    def __init__(self, plan: Plan, source: Source, augmentation: str = ""):
        self._plan, self._source = plan, source
        self._augmentation: Sequence = augment.parse(augmentation)

    def at(self, step, shards: range) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples of consecutive shards of one step.

        Returns images [len(shards), shard_batch, height, width, channels] uint8 and labels
        [len(shards), shard_batch] int32.
        """
        positions = self._plan.positions(step, shards)
        raw, labels = self._source.fetch(self._plan.indices(positions))
        shape = self._source.image_shape
        window = augment.window(self._augmentation, positions, self._plan.seed)
        images = tf.ensure_shape(self._source.decode(raw, window), [len(shards) * self._plan.shard_batch, *shape])
        images = augment.apply(self._augmentation, images, positions, self._plan.seed)
        leading = [len(shards), self._plan.shard_batch]
        return tf.reshape(images, [*leading, *shape]), tf.reshape(labels, leading)

    def find_broken(self, first: int, last: int) -> None:
        """Raises BadDataError naming the first example of steps `first` to `last` - 1 that cannot be decoded."""
        for step in range(first, last):
            positions = self._plan.positions(step, range(self._plan.grad_shards))
            find_broken(self._source, self._plan.indices(positions).numpy().tolist())

    def dataset(self, first_step: int, shards: range) -> tf.data.Dataset:
        """`at` of every step from `first_step` on, without end."""
        steps = tf.data.Dataset.range(first_step, tf.int64.max)
        # AutoGraph has nothing to convert here, and takes seconds to find that out.
        batch = tf.autograph.experimental.do_not_convert(lambda step: self.at(step, shards))
        return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
