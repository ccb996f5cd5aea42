"""The networks with batch normalization: their layers, sizes and initial values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import models
from pipeline.models.layers import FusedBatchNormalization

# Kernels of the convolutions and of the logits, on MNIST.
KERNELS = {
    "cnn_bn": [(5, 5, 1, 16), (3, 3, 16, 32), (3, 3, 32, 64), (1024, 10)],
    "cnn_bn_large": [
        (5, 5, 1, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 64),
        (3, 3, 64, 64),
        (3, 3, 64, 128),
        (3, 3, 128, 128),
        (3, 3, 128, 128),
        (1152, 10),
    ],
}
POOLED = {"cnn_bn": [1, 2, 3], "cnn_bn_large": [1, 4, 7]}  # convolutions with a pool behind them
MOMENTUM = {"cnn_bn": 0.9, "cnn_bn_large": 0.99}
DROPOUT = {"cnn_bn": [], "cnn_bn_large": [0.3]}


def build(name, precision="float32"):
    return models.build(name, (28, 28, 1), 10, 1, precision)


@pytest.mark.parametrize("name", KERNELS)
def test_layers_and_their_order(name):
    model = build(name)
    assert [v.shape for v in model.trainable_variables if v.path.endswith("kernel")] == KERNELS[name]
    order = [layer.name for layer in model.layers if not isinstance(layer, keras.layers.Dropout)]
    expected = ["images"]
    for i in range(1, len(KERNELS[name])):
        expected += [f"conv{i}", *([f"pool{i}"] if i in POOLED[name] else []), f"norm{i}", f"relu{i}"]
    assert order == [*expected, "flatten", "logits"]
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == DROPOUT[name]


@pytest.mark.parametrize("name", KERNELS)
def test_normalization_stands_for_biases_but_the_last(name):
    model = build(name)
    assert [v.path for v in model.trainable_variables if v.path.endswith("bias")] == ["logits/bias"]
    normalizations = [layer for layer in model.layers if isinstance(layer, FusedBatchNormalization)]
    assert [(layer.momentum, layer.epsilon) for layer in normalizations] == [(MOMENTUM[name], 1e-5)] * (
        len(KERNELS[name]) - 1
    )


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_start_as_wide_as_their_fan_in_asks(name):
    for variable in build(name).trainable_variables:
        if variable.path.endswith("kernel"):
            fan_in = np.prod(variable.shape[:-1])
            np.testing.assert_allclose(np.std(variable), np.sqrt(2 / fan_in), rtol=0.2, err_msg=variable.path)


@pytest.mark.parametrize("name", KERNELS)
def test_logits_are_float32_in_half_precision_too(name):
    model = build(name, "bfloat16")
    assert model.layers[-2].compute_dtype == "bfloat16"
    assert model(tf.zeros([2, 28, 28, 1])).dtype == tf.float32
