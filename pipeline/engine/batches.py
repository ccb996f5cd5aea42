"""The tf.data pipeline of one tower: positions -> fetch -> decode -> augment -> prefetch to its device."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from pipeline import augment
from pipeline.config import MOST_WHOLE
from pipeline.engine import chunked_map
from pipeline.engine.plan import Plan
from pipeline.errors import BadDataError
from pipeline.sources.base import Source
from pipeline.sources.decoding import find_broken


class Batches:
    """The batch of each shard of each step: a pure function of the step."""

    def __init__(
        self, plan: Plan, source: Source, augmentation: Sequence[augment.Operation] = (), augmented_steps: int = 0
    ):
        """augmented_steps: augmentation ends before this step; 0: it never ends."""
        self._plan, self._source = plan, source
        self._augmentation, self._augmented_steps = augmentation, augmented_steps

    def at(self, step: tf.Tensor | int, shards: range) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples of consecutive shards of one step.

        Returns images [len(shards), shard_batch, height, width, channels] uint8 and labels
        [len(shards), shard_batch] int64.
        """
        return self._by_shard(len(shards), *self._examples(step, self._plan.positions(step, shards)))

    def of_shard(self, step: tf.Tensor, shard: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples of one shard, [] int64, of a step, each as `at` gives it, without the leading 1."""
        images, labels = self._by_shard(1, *self._examples(step, self._plan.positions_of(step, shard)))
        return images[0], labels[0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self._source.image_shape

    def _examples(self, step: tf.Tensor | int, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples at positions [n] of a step: images [n, height, width, channels] and labels [n]."""
        raw, labels = self._source.fetch(self._plan.indices(positions))
        augmented, plain = (partial(self._images, raw, positions, how) for how in (self._augmentation, ()))
        if not self._augmented_steps:
            return augmented(), labels
        return tf.cond(step < self._augmented_steps, augmented, plain), labels

    def _images(self, raw: Any, positions: tf.Tensor, augmentation: Sequence[augment.Operation]) -> tf.Tensor:
        window = augment.window(augmentation, positions, self._plan.seed)
        images = tf.ensure_shape(self._source.decode(raw, window), [*positions.shape, *self._source.image_shape])
        return augment.apply(augmentation, images, positions, self._plan.seed)

    def _by_shard(self, num_shards: int, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        leading = [num_shards, self._plan.shard_batch]
        # GPUs keep numbers of 32 bits in the host's memory, and would send them there and back.
        return tf.reshape(images, [*leading, *self._source.image_shape]), tf.cast(tf.reshape(labels, leading), tf.int64)

    def find_broken(self, first: int, last: int) -> None:
        """Raises BadDataError for the first broken example of steps `first` to `last` - 1; the error has its step."""
        for step in range(first, last):
            positions = self._plan.positions(step, range(self._plan.grad_shards))
            try:
                find_broken(self._source, self._plan.indices(positions).numpy().tolist())
            except BadDataError as error:
                error.step = step
                raise

    def dataset(self, first_step: int, shards: range) -> tf.data.Dataset:
        """The batches of every step from `first_step` on, each as `at` gives it."""
        size, image_bytes = len(shards) * self._plan.shard_batch, math.prod(self._source.image_shape)

        def chunk(step: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self._examples(step, tf.gather(self._plan.positions(step, shards), numbers))

        by_shard = tf.autograph.experimental.do_not_convert(lambda *batch: self._by_shard(len(shards), *batch))
        return chunked_map.dataset(first_step, MOST_WHOLE, size, image_bytes, chunk).map(by_shard)
