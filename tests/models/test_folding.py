"""Normalization folded into the convolution before it: where, to which values, and in evaluation alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pipeline import models
from pipeline.engine import forward
from pipeline.engine.losses import CrossEntropy
from pipeline.models import folding
from pipeline.models.layers import FusedBatchNormalization
from pipeline.models.variables import statistics_of

IMAGES = np.random.default_rng(0).integers(0, 256, [4, 8, 8, 3], np.uint8)


def normalized(x):
    return FusedBatchNormalization(epsilon=1e-3)(x)


def every_case() -> keras.Model:
    """Pairs with and without biases, depthwise, strided, in a model of its own; and four that are none."""
    images = keras.Input((8, 8, 3))
    plain = normalized(layers.Conv2D(6, 3, padding="same", use_bias=False, name="plain")(images))
    depth = layers.DepthwiseConv2D(3, 2, depth_multiplier=2, bias_initializer="random_normal", name="depth")(plain)
    inner = keras.Sequential([layers.Conv2D(5, 1, bias_initializer="ones", name="inside"), FusedBatchNormalization()])
    x = inner(layers.ReLU()(normalized(depth)))
    taken_twice = layers.Conv2D(5, 1, name="taken_twice")(x)
    x = layers.Add()([taken_twice, normalized(taken_twice)])
    x = normalized(layers.Conv2D(4, 1, activation="relu", name="rectified")(x))
    called_twice = layers.Conv2D(4, 1, name="called_twice")
    x = normalized(called_twice(called_twice(x)))
    x = normalized(layers.MaxPooling2D(1)(layers.Conv2D(4, 1, name="pooled")(x)))
    return keras.Model(images, layers.Dense(3)(layers.Flatten()(x)))


def random_values(variables) -> list[tf.Tensor]:
    """Values unlike those of a fresh model; all are positive, as variances are."""
    draws = np.random.default_rng(1)
    return [tf.constant(draws.uniform(0.2, 1.2, v.shape) - ("kernel" in v.path) * 0.6, tf.float32) for v in variables]


def unfolded(model, parameters, statistics):
    return forward.call(model, parameters, statistics, [], IMAGES, training=False)[0]


def test_the_pairs_are_a_convolution_and_the_normalization_that_alone_takes_its_outputs():
    names = [pair.convolution.name for pair in folding.pairs(every_case())]
    assert sorted(names) == ["depth", "inside", "plain"]


@pytest.mark.parametrize(("name", "number"), [("resnet20", 19), ("wideresnet", 7), ("cnn_bn", 0), ("convolutional", 0)])
def test_the_pairs_of_networks(name, number):
    found = folding.pairs(models.build(name, (16, 16, 3), 10, 1, "float32"))
    assert len({pair.normalization.name for pair in found}) == len(found) == number


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.03)])
def test_folded_values_give_the_same_logits(precision, tolerance):
    keras.config.set_dtype_policy(precision)
    try:
        model = every_case()
    finally:
        keras.config.set_dtype_policy("float32")
    parameters, statistics = random_values(model.trainable_variables), random_values(statistics_of(model))
    expected = unfolded(model, parameters, statistics).numpy()
    found = forward.evaluate(model, parameters, statistics, IMAGES).numpy()
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.ptp(expected))


def test_a_frozen_layer_is_folded_too():
    model = every_case()
    model.get_layer("plain").trainable = False
    parameters, statistics = random_values(model.trainable_variables), random_values(statistics_of(model))
    expected = unfolded(model, parameters, statistics)
    np.testing.assert_allclose(forward.evaluate(model, parameters, statistics, IMAGES), expected, rtol=1e-4, atol=1e-4)


def test_evaluation_folds_and_training_does_not():
    model = models.build("resnet20", (8, 8, 3), 10, 1, "float32")
    values = [[v.value for v in group] for group in (model.trainable_variables, statistics_of(model))]

    def normalizations(function) -> int:
        graph = tf.function(function, autograph=False).get_concrete_function().graph
        return sum(op.type == "FusedBatchNormV3" for op in graph.get_operations())

    labels, factor = tf.zeros([4], tf.int32), tf.constant(0.25)
    assert normalizations(lambda: forward.evaluate(model, *values, IMAGES)) == 0
    train = lambda: forward.shard_sums(model, *values, [], IMAGES, labels, factor, loss=CrossEntropy(0.0))  # noqa: E731
    assert normalizations(train) == 19
