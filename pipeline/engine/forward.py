"""One shard through the model, forwards and backwards: plain functions that know no device."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import keras
import tensorflow as tf

from pipeline.engine import gradients
from pipeline.engine.losses import Loss
from pipeline.engine.places import keep_seeds_on_host, unplaced
from pipeline.models import folding, gelu, inputs, views
from pipeline.models.variables import is_seed, seeds_of

Tensors = Sequence[tf.Tensor]


class ShardSums(NamedTuple):
    """One shard's part of a step. The sum over all shards is the step's."""

    loss: tf.Tensor  # [] float32: this shard's part of the mean loss of the global batch
    correct: tf.Tensor  # [] float32: a count, which is exact below 2**24; GPUs add whole numbers on the host
    gradients: list[tf.Tensor]  # of the loss by the trained parameters, in the model's order
    statistics: list[tf.Tensor]  # new values of the running statistics, as this shard alone would set them


def add(left: ShardSums, right: ShardSums) -> ShardSums:
    """The element-wise sum of two shards' parts."""
    return tf.nest.map_structure(tf.add, left, right)


def call(
    model: keras.Model, parameters: Tensors, statistics: Tensors, seeds: Tensors, images: tf.Tensor, training: bool
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The model as a pure function of its variables' values.

    images: [n, height, width, channels] of 0 to 255. seeds: [2] int64 for every random layer.
    Returns logits [n, classes] float32 and the new running statistics.
    """
    seed, statistic = iter(seeds), iter(statistics)
    values = [next(seed if is_seed(v) else statistic) for v in model.non_trainable_variables]
    logits, updated = model.stateless_call(parameters, values, inputs.scaled(model, images), training=training)
    kept = [new for v, new in zip(model.non_trainable_variables, updated, strict=True) if not is_seed(v)]
    return tf.cast(logits, tf.float32), kept


def evaluate(
    model: keras.Model, parameters: Tensors, statistics: Tensors, images: tf.Tensor, on_cpus: bool = False
) -> tf.Tensor:
    """Logits [n, classes] float32 of images [n, height, width, channels] uint8, with nothing random.

    With --tta, the means over the views. on_cpus: whether it runs on CPUs.
    """
    with gelu.by_xla(on_cpus):
        return evaluate_folded(model, *folding.fold(model, parameters, statistics), images)


def evaluate_folded(model: keras.Model, parameters: Tensors, statistics: Tensors, images: tf.Tensor) -> tf.Tensor:
    """As `evaluate`, with values that `folding.fold` gave."""
    unused_seeds = [tf.zeros([2], tf.int64) for _ in seeds_of(model)]
    with folding.folded(model):
        given = model, parameters, statistics, unused_seeds
        return views.averaged(model, images, lambda seen: call(*given, seen, training=False)[0])


def probabilities(
    model: keras.Model,
    parameters: Tensors,
    statistics: Tensors,
    images: tf.Tensor,
    loss: Loss,
    on_cpus: bool = False,
) -> tf.Tensor:
    """The probabilities of the classes, as the loss takes them from logits: [n, classes] float32.

    images: [n, height, width, channels] uint8. on_cpus: whether it runs on CPUs.
    """
    return loss.probabilities(evaluate(model, parameters, statistics, images, on_cpus))


class Compute(Protocol):
    """Computes the sums of a shard: `shard_sums` with all but tensors given."""

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


def computing(
    model: keras.Model, trained: Sequence[keras.Variable], loss: Loss, jit: bool, on_cpus: bool = True
) -> Compute:
    """`shard_sums` of a model. jit: compiled by XLA, so that its bits depend on nothing outside of the shard.

    trained: the parameters whose gradients are computed. on_cpus: whether the towers are CPUs.
    """
    chosen = {id(variable) for variable in trained}
    asked = [id(variable) in chosen for variable in model.trainable_variables]
    if not on_cpus and not jit:
        keep_seeds_on_host(model)

    def sums(*tensors: Any) -> ShardSums:
        return shard_sums(model, *tensors, loss=loss, trained=asked, on_cpus=on_cpus, jit=jit)

    function = tf.function(sums, jit_compile=jit or None, autograph=False)

    def compute(*tensors: Any) -> ShardSums:
        # Traced once for all shards of all towers, which takes most of a start: on no device, so that the operations
        # lie where the function is called.
        specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), tensors)
        with unplaced():
            concrete = function.get_concrete_function(*specs)
        # What must wait for a call waits for no result of it, once it is inlined: it waits for these copies.
        return tf.nest.map_structure(tf.identity, concrete(*tensors))

    return cast(Compute, compute)


def shard_sums(
    model: keras.Model,
    parameters: Tensors,
    statistics: Tensors,
    seeds: Tensors,
    images: tf.Tensor,
    labels: tf.Tensor,
    loss_factor: tf.Tensor,
    *,
    loss: Loss,
    trained: Sequence[bool] | None = None,
    on_cpus: bool = True,
    jit: bool = False,
) -> ShardSums:
    """Loss and gradients of one shard, as its part of the mean over the global batch.

    The one division of the mean is in `loss_factor` (1 / global_batch, times the loss scale if there is one). To divide
    the few losses costs nothing; to divide the summed gradients would pass through all of them again.
    It runs only inside of a tf.function, not eagerly.
    trained: whether each parameter's gradient is computed; None: all are. on_cpus: whether it runs on CPUs. jit:
    whether XLA compiles it.
    """
    # The scope is for layers whose names begin with _: a name at the root of a graph must not.
    with tf.name_scope("model"), gradients.replaced(on_cpus, jit), gelu.by_xla(on_cpus and not jit):
        logits, statistics = call(model, parameters, statistics, seeds, images, training=True)
        total = tf.reduce_sum(loss.of_examples(logits, labels)) * loss_factor
        by_parameter = tf.gradients(
            total,
            [parameter for i, parameter in enumerate(parameters) if trained is None or trained[i]],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
            # Terms of a gradient are added in pairs. A GradientTape adds three or more by one AddN. Its kernel begins
            # with the term whose memory it may overwrite, and this depends on the speed of other threads (TensorFlow
            # 2.21).
            aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
        )
        return ShardSums(total, tf.reduce_sum(loss.hits(logits, labels)), by_parameter, statistics)
