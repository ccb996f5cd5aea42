"""Plain convolutional networks with batch normalization: (image_shape, num_classes) -> keras.Model.

A small one for speed and a large one for accuracy on images like MNIST's, of one family: a convolution of 5 x 5, then
some of 3 x 3, with a pool of 2 x 2 in every stage. Logits are float32 under every precision.
"""

import dataclasses
from collections.abc import Sequence

import keras
from keras import layers

from pipeline.models.layers import MOMENTUM, ImageShape, he_normal, normalized


@dataclasses.dataclass(frozen=True)
class _Layout:
    """One network of the family."""

    stages: Sequence[Sequence[int]]  # the filters of every convolution
    padding: str  # of the first convolution; the others' is "same"
    momentum: float
    dropout: float


def cnn_bn(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """Three convolutions, of 16, 32 and 64 filters."""
    layout = _Layout([[16], [32], [64]], padding="same", momentum=MOMENTUM, dropout=0.0)
    return _network("cnn_bn", image_shape, num_classes, layout)


def cnn_bn_large(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """Seven convolutions, of 32, three times 64 and three times 128 filters, and dropout 0.3.

    The first one gives 24 x 24 of MNIST's 28 x 28 pixels: a quarter less to compute, and all are seen. Statistics are
    averages of some hundred steps, since those of the ten that cnn_bn keeps would be felt in the last digit.
    """
    layout = _Layout([[32], [64] * 3, [128] * 3], padding="valid", momentum=0.99, dropout=0.3)
    return _network("cnn_bn_large", image_shape, num_classes, layout)


def _network(name: str, image_shape: ImageShape, num_classes: int, layout: _Layout) -> keras.Model:
    """Convolutions stage by stage; a stage's last one is pooled."""
    images = x = keras.Input(image_shape, name="images")
    for i, (filters, last_of_stage) in enumerate(_in_order(layout.stages), start=1):
        x = _convolution(x, filters, *((5, layout.padding) if i == 1 else (3, "same")), name=f"conv{i}")
        if last_of_stage:
            x = layers.MaxPooling2D(2, padding="same", name=f"pool{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(normalized(x, f"norm{i}", layout.momentum))
    x = layers.Flatten(name="flatten")(x)
    if layout.dropout:
        x = layers.Dropout(layout.dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, kernel_initializer=he_normal(), dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name=name)


def _in_order(stages: Sequence[Sequence[int]]) -> list[tuple[int, bool]]:
    """The filters of every convolution, and whether its stage ends with it."""
    return [(filters, i == len(stage)) for stage in stages for i, filters in enumerate(stage, start=1)]


def _convolution(x: keras.KerasTensor, filters: int, size: int, padding: str, name: str) -> keras.KerasTensor:
    # fmt: off
    return layers.Conv2D(
        filters, size, padding=padding, use_bias=False, kernel_initializer=he_normal(), name=name)(x)
    # fmt: on
