"""One shard through the model, forwards and backwards: plain functions that know no device."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import keras
import tensorflow as tf

from pipeline.engine import gradients
from pipeline.models import pooling
from pipeline.models.variables import is_seed, seeds_of

Tensors = Sequence[tf.Tensor]


class ShardSums(NamedTuple):
    """One shard's part of a step. The sum over all shards is the step's."""

    loss: tf.Tensor  # [] float32: this shard's part of the mean loss of the global batch
    correct: tf.Tensor  # [] float32: a count, which is exact below 2**24; GPUs add whole numbers on the host
    gradients: list[tf.Tensor]  # of the loss, in the order of the model's trainable variables
    statistics: list[tf.Tensor]  # new values of the running statistics, as this shard alone would set them


def add(left: ShardSums, right: ShardSums) -> ShardSums:
    """The element-wise sum of two shards' parts."""
    return tf.nest.map_structure(tf.add, left, right)


def call(
    model: keras.Model, parameters: Tensors, statistics: Tensors, seeds: Tensors, images: tf.Tensor, training: bool
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The model as a pure function of its variables' values.

    images: [n, height, width, channels] uint8. seeds: [2] int64 for every random layer.
    Returns logits [n, classes] float32 and the new running statistics.
    """
    seed, statistic = iter(seeds), iter(statistics)
    values = [next(seed if is_seed(v) else statistic) for v in model.non_trainable_variables]
    scaled = tf.cast(images, model.compute_dtype) / 255
    logits, updated = model.stateless_call(parameters, values, scaled, training=training)
    kept = [new for v, new in zip(model.non_trainable_variables, updated, strict=True) if not is_seed(v)]
    return tf.cast(logits, tf.float32), kept


def evaluate(model: keras.Model, parameters: Tensors, statistics: Tensors, images: tf.Tensor) -> tf.Tensor:
    """Logits [n, classes] float32 of images [n, height, width, channels] uint8, with nothing random."""
    unused_seeds = [tf.zeros([2], tf.int64) for _ in seeds_of(model)]
    return call(model, parameters, statistics, unused_seeds, images, training=False)[0]


def probabilities(model: keras.Model, parameters: Tensors, statistics: Tensors, images: tf.Tensor) -> tf.Tensor:
    """Softmax of the logits, [n, classes] float32, of images [n, height, width, channels] uint8."""
    return tf.nn.softmax(evaluate(model, parameters, statistics, images))


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Each example's loss: logits [n, classes], labels [n] -> [n] float32.

    With smoothing s the target is (1 - s) on the label and s / classes everywhere (Szegedy et al. 2016, section 7).
    """
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if not label_smoothing:
        return loss
    uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
    return (1 - label_smoothing) * loss + label_smoothing * uniform


def hits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """1 where [n, classes] logits are largest at the label, else 0: [n] float32."""
    return tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)


class Compute(Protocol):
    """Computes the sums of a shard: `shard_sums` with its model and its label smoothing given."""

    def __call__(
        self,
        parameters: Tensors,
        statistics: Tensors,
        seeds: Tensors,
        images: tf.Tensor,
        labels: tf.Tensor,
        loss_factor: tf.Tensor,
    ) -> ShardSums:
        """The sums; the arguments are those of `shard_sums`."""


def computing(model: keras.Model, label_smoothing: float, jit: bool) -> Compute:
    """`shard_sums` of a model. jit: compiled by XLA, so that its bits depend on nothing outside of the shard."""
    compute = functools.partial(shard_sums, model, label_smoothing=label_smoothing)
    if not jit:
        return compute

    def for_xla(*tensors: Any) -> ShardSums:
        with pooling.written_out(), gradients.for_xla():
            return compute(*tensors)

    return tf.function(for_xla, jit_compile=True, autograph=False)


def shard_sums(
    model: keras.Model,
    parameters: Tensors,
    statistics: Tensors,
    seeds: Tensors,
    images: tf.Tensor,
    labels: tf.Tensor,
    loss_factor: tf.Tensor,
    *,
    label_smoothing: float = 0.0,
) -> ShardSums:
    """Loss and gradients of one shard, as its part of the mean over the global batch.

    The one division of the mean is in `loss_factor` (1 / global_batch, times the loss scale if there is one). To divide
    the few losses costs nothing; to divide the summed gradients would pass through all of them again.
    It runs only inside of a tf.function, not eagerly.
    """
    with gradients.faster():
        logits, statistics = call(model, parameters, statistics, seeds, images, training=True)
    loss = tf.reduce_sum(cross_entropy(logits, labels, label_smoothing)) * loss_factor
    by_parameter = tf.gradients(
        loss,
        list(parameters),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
        # Terms of a gradient are added in pairs. A GradientTape adds three or more by one AddN. Its kernel begins with
        # the term whose memory it may overwrite, and this depends on the speed of other threads (TensorFlow 2.21).
        aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
    )
    return ShardSums(loss, tf.reduce_sum(hits(logits, labels)), by_parameter, statistics)
