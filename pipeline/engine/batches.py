"""The tf.data pipeline of one tower: positions -> fetch -> decode -> augment -> prefetch to its device."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from pipeline import augment
from pipeline.config import MOST_WHOLE
from pipeline.engine import chunked_map, example_weights
from pipeline.engine.plan import Plan
from pipeline.sources.base import Source
from pipeline.sources.decoding import find_broken
from pipeline.sources.labels import Weights


class Batches:
    """The batch of each shard of each step: a pure function of the step."""

    def __init__(
        self,
        plan: Plan,
        source: Source,
        augmentation: Sequence[augment.Operation] = (),
        augmented_steps: int = 0,
        multi_label: bool = False,
        weights: Weights | None = None,
    ):
        """augmented_steps: augmentation ends before this step; 0: it never ends.

        multi_label: whether the source's examples have any number of labels. weights: of its examples; with them, a
        label is a row as `example_weights.rows` gives it.

        Raises UsageError for an augmentation that does nothing to the source's images.
        """
        self._plan, self._source = plan, source
        self._augmentation, self._augmented_steps = augmentation, augmented_steps
        self._mixes = augment.mixes(augmentation)
        # An eager tensor, which a tf.data function captures; an array would become a constant of every graph.
        self._weights = None if weights is None else tf.constant(weights)
        self._shares = self._mixes or multi_label or weights is not None  # whether a label is a row
        self._label_width = len(source.class_names) + (weights is not None)
        augment.check_colours(augmentation, source.image_shape[-1])
        self._traced = tf.function(self._examples, autograph=False)  # once for the datasets of all towers

    def at(self, step: tf.Tensor | int, shards: range) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples of consecutive shards of one step.

        Returns images [len(shards), shard_batch, height, width, channels] uint8 and labels
        [len(shards), shard_batch] int64; of multi-label data, and with mixup or cutmix,
        [len(shards), shard_batch, classes] float32; with weights, one number more.
        """
        return self._by_shard(len(shards), *self._examples(step, self._plan.positions(step, shards)))

    def of_shard(self, step: tf.Tensor, shard: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples of one shard, [] int64, of a step, each as `at` gives it, without the leading 1."""
        images, labels = self._by_shard(1, *self._examples(step, self._plan.positions_of(step, shard)))
        return images[0], labels[0]

    def none_of_shard(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Zeros in the place of what `of_shard` gives."""
        size = self._plan.shard_batch
        labels = tf.zeros([size, self._label_width]) if self._shares else tf.zeros([size], tf.int64)
        return tf.zeros([size, *self._source.image_shape], tf.uint8), labels

    def _examples(self, step: tf.Tensor | int, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The examples at positions [n] of a step: images [n, height, width, channels], labels [n] or rows."""
        indices = self._plan.indices(positions)
        raw, labels = self._source.fetch(indices)
        if self._weights is not None:
            labels = example_weights.rows(labels, len(self._source.class_names), tf.gather(self._weights, indices))
        change = partial(self._changed, raw, labels, positions, indices)
        augmented, plain = partial(change, self._augmentation), partial(change, ())
        if not self._augmented_steps:
            return augmented()
        return tf.cond(step < self._augmented_steps, augmented, plain)

    def _changed(
        self,
        raw: Any,
        labels: tf.Tensor,
        positions: tf.Tensor,
        indices: tf.Tensor,
        augmentation: Sequence[augment.Operation],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seed = self._plan.seed
        window = augment.window(augmentation, positions, seed)
        images = tf.ensure_shape(self._source.decode(raw, window), [*positions.shape, *self._source.image_shape])
        images = augment.apply(augmentation, images, positions, seed, indices, self._plan.epochs(positions))
        if not self._mixes:
            return images, labels
        return augment.mixed(augmentation, images, labels, positions, seed, len(self._source.class_names))

    def _by_shard(self, num_shards: int, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        leading = [num_shards, self._plan.shard_batch]
        if not self._shares:  # GPUs keep whole numbers of 32 bits in the host's memory, and would send them to and fro
            labels = tf.cast(labels, tf.int64)
        images, labels = (tf.reshape(part, [*leading, *part.shape[1:]]) for part in (images, labels))
        return tf.ensure_shape(images, [*leading, *self._source.image_shape]), labels

    def find_broken(self, first: int, last: int) -> None:
        """Raises BadDataError for the first broken example of steps `first` to `last` - 1."""
        for step in range(first, last):
            positions = self._plan.positions(step, range(self._plan.grad_shards))
            find_broken(self._source, self._plan.indices(positions).numpy().tolist())

    def dataset(self, first_step: int, shards: range) -> tf.data.Dataset:
        """The batches of every step from `first_step` on, each as `at` gives it."""
        size, image_bytes = len(shards) * self._plan.shard_batch, math.prod(self._source.image_shape)

        def chunk(step: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self._traced(step, tf.gather(self._plan.positions(step, shards), numbers))

        by_shard = tf.autograph.experimental.do_not_convert(lambda *batch: self._by_shard(len(shards), *batch))
        together = 2 if self._mixes else 1
        return chunked_map.dataset(first_step, MOST_WHOLE, size, image_bytes, chunk, together).map(by_shard)
