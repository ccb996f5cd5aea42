"""The classic MNIST systems, from one layer to two convolutions: (image_shape, num_classes) -> keras.Model.

The logits layer computes in float32 under every precision: it is a thousandth of a convolutional network's work, and
in the 8 bits of a bfloat16 near classes would tie.
"""

import math
from collections.abc import Callable, Sequence

import keras
from keras import layers

from pipeline.models.layers import ImageShape, PooledConvolution

Initializers = dict[str, keras.initializers.Initializer]  # of a layer's kernel and bias
Initial = Callable[[int], Initializers]  # from the layer's fan-in


def dense(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """One layer: softmax regression, from small random weights."""
    return _perceptron("dense", image_shape, num_classes, [], _truncated_normal)


def softmax(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """One layer: softmax regression, from zeros."""
    return _perceptron("softmax", image_shape, num_classes, [], _zeros)


def hidden(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """One hidden layer of 1024 rectified units."""
    return _perceptron("hidden", image_shape, num_classes, [1024], _truncated_normal)


def fully_connected(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """Two hidden layers, of 128 and 32 rectified units."""
    return _perceptron("fully_connected", image_shape, num_classes, [128, 32], _truncated_normal_by_fan_in)


def convolutional(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """Two convolutions and a layer of 1024 with dropout 0.5: the "deep MNIST" of TensorFlow's first tutorials."""
    return _convolutional("convolutional", image_shape, num_classes, 0.5, _truncated_normal)


def cnn(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """`convolutional` from Glorot's initial values, with dropout 0.4: the "CNN MNIST" of the tf.layers tutorial."""
    return _convolutional("cnn", image_shape, num_classes, 0.4, _glorot)


# Each call makes new initializers, since Keras draws from one only once.


def _truncated_normal(fan_in: int) -> Initializers:
    return {"kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.1), "bias_initializer": _constant(0.1)}


def _truncated_normal_by_fan_in(fan_in: int) -> Initializers:
    stddev = 1 / math.sqrt(fan_in)
    return {"kernel_initializer": keras.initializers.TruncatedNormal(stddev=stddev), "bias_initializer": _constant(0.0)}


def _glorot(fan_in: int) -> Initializers:
    return {"kernel_initializer": keras.initializers.GlorotUniform(), "bias_initializer": _constant(0.0)}


def _zeros(fan_in: int) -> Initializers:
    return {"kernel_initializer": _constant(0.0), "bias_initializer": _constant(0.0)}


def _constant(value: float) -> keras.initializers.Initializer:
    return keras.initializers.Constant(value)


def _perceptron(
    name: str, image_shape: ImageShape, num_classes: int, widths: Sequence[int], initial: Initial
) -> keras.Model:
    """Layers of rectified units of these widths, then the logits."""
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten(name="flatten")(images)
    for i, width in enumerate(widths, start=1):
        x = layers.Dense(width, activation="relu", name=f"fc{i}", **initial(x.shape[-1]))(x)
    return keras.Model(images, _logits(x, num_classes, initial), name=name)


def _convolutional(
    name: str, image_shape: ImageShape, num_classes: int, dropout: float, initial: Initial
) -> keras.Model:
    """5x5x32, pool, 5x5x64, pool, 1024, dropout, logits; pools round odd sizes up."""
    images = x = keras.Input(image_shape, name="images")
    for i, filters in enumerate((32, 64), start=1):
        fan_in = 25 * x.shape[-1]
        x = PooledConvolution(filters, 5, name=f"conv{i}", **initial(fan_in))(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(1024, activation="relu", name="fc1", **initial(x.shape[-1]))(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(images, _logits(x, num_classes, initial), name=name)


def _logits(x: keras.KerasTensor, num_classes: int, initial: Initial) -> keras.KerasTensor:
    return layers.Dense(num_classes, name="logits", dtype="float32", **initial(x.shape[-1]))(x)
