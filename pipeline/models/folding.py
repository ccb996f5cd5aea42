"""Batch normalization at inference as part of the convolution before it: of values, not of variables.

With s = gamma / sqrt(variance + epsilon), normalizing x * kernel + bias by running statistics is
x * (s kernel) + beta + s (bias - mean): a convolution with a bias, which TensorFlow fuses with what follows.
"""

import collections
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from pipeline.models.layers import FusedBatchNormalization, offsets_only
from pipeline.models.variables import is_seed

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)

Tensors = Sequence[tf.Tensor]


class Pair(NamedTuple):
    """A convolution whose outputs go into a normalization and nowhere else. Each is used once."""

    convolution: layers.Layer  # one of _CONVOLUTIONS
    normalization: FusedBatchNormalization


def pairs(model: keras.Model) -> tuple[Pair, ...]:
    """The pairs in a functional or sequential model, also inside of such models in it. Other models have none."""
    return tuple(_pairs(list(_nodes(model))))


@contextlib.contextmanager
def folded(model: keras.Model) -> Iterator[None]:
    """Inside, `model` computes at inference with values that `fold` gave."""
    with offsets_only({id(each.normalization): not each.convolution.use_bias for each in pairs(model)}):
        yield


def fold(model: keras.Model, parameters: Tensors, statistics: Tensors) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The values with which `model` computes, inside of `folded`, what it computes with these, but for rounding.

    The kernel of each pair is multiplied by s, and the whole bias stands in the convolution's, if it has one, or else
    in the normalization's beta. All are float32, in the order of the arguments.
    """
    own = [variable for variable in model.non_trainable_variables if not is_seed(variable)]
    variables = [*model.trainable_variables, *own]
    values = dict(zip(map(id, variables), [*parameters, *statistics], strict=True))
    for pair in pairs(model):
        _fold(pair, values)
    folded = [values[id(variable)] for variable in variables]
    return folded[: len(parameters)], folded[len(parameters) :]


def _fold(pair: Pair, values: dict[int, tf.Tensor]) -> None:
    """Replaces the pair's values, which are found by the identity of their variables."""
    convolution, normalization = pair
    # A quotient and a root, which round as IEEE 754 says: so a fold has the same bits everywhere.
    deviation = tf.sqrt(values[id(normalization.moving_variance)] + normalization.epsilon)
    scale, mean = values[id(normalization.gamma)] / deviation, values[id(normalization.moving_mean)]
    values[id(convolution.kernel)] = values[id(convolution.kernel)] * tf.reshape(scale, _of_outputs(convolution))
    beta = values[id(normalization.beta)]
    if convolution.use_bias:
        values[id(convolution.bias)] = beta + scale * (values[id(convolution.bias)] - mean)
    else:
        values[id(normalization.beta)] = beta - scale * mean


def _of_outputs(convolution: layers.Layer) -> list[int]:
    """The shape of one number for each output, as the kernel's last dimensions have them."""
    if isinstance(convolution, layers.DepthwiseConv2D):
        return list(convolution.kernel.shape[2:])
    return [convolution.kernel.shape[-1]]


def _nodes(model: Any) -> Iterator[Any]:
    """The calls of layers that a model consists of, in Keras' own terms."""
    functional = getattr(model, "_functional", None) or model  # a Sequential holds one
    for node in itertools.chain(*getattr(functional, "_nodes_by_depth", {}).values()):
        yield node
        if isinstance(node.operation, keras.Model):
            yield from _nodes(node.operation)


def _pairs(nodes: Sequence[Any]) -> Iterator[Pair]:
    uses = collections.Counter(id(node.operation) for node in nodes)
    takers = collections.Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    for node in nodes:
        if not isinstance(node.operation, FusedBatchNormalization):
            continue
        [given] = node.input_tensors
        before = given._keras_history.operation
        is_alone = uses[id(before)] == uses[id(node.operation)] == takers[id(given)] == 1
        if is_alone and type(before) in _CONVOLUTIONS and before.activation is keras.activations.linear:
            yield Pair(before, node.operation)
