"""Plain convolutional networks with batch normalization: (image_shape, num_classes) -> keras.Model.

A small one for speed and a large one for accuracy on images like MNIST's, of one family: a convolution of 5 x 5, then
some of 3 x 3, with a pool of 2 x 2 in every stage. Logits are float32 under every precision.
"""

from collections.abc import Sequence

import keras
from keras import layers

from pipeline.models.layers import he_normal, normalized


def cnn_bn(image_shape, num_classes) -> keras.Model:
    """Three convolutions, of 16, 32 and 64 filters."""
    return _network("cnn_bn", image_shape, num_classes, [[16], [32], [64]], dropout=0.0)


def cnn_bn_large(image_shape, num_classes) -> keras.Model:
    """Five convolutions, of 24, 96, 96, 192 and 192 filters, and dropout 0.3."""
    return _network("cnn_bn_large", image_shape, num_classes, [[24], [96, 96], [192, 192]], dropout=0.3)


def _network(name: str, image_shape, num_classes, stages: Sequence[Sequence[int]], dropout: float) -> keras.Model:
    """Convolutions of so many filters, stage by stage; a stage's last one is pooled."""
    images = x = keras.Input(image_shape, name="images")
    for i, (filters, last_of_stage) in enumerate(_in_order(stages), start=1):
        x = _convolution(x, filters, 5 if i == 1 else 3, name=f"conv{i}")
        if last_of_stage:
            x = layers.MaxPooling2D(2, padding="same", name=f"pool{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(normalized(x, f"norm{i}"))
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, kernel_initializer=he_normal(), dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name=name)


def _in_order(stages: Sequence[Sequence[int]]) -> list[tuple[int, bool]]:
    """The filters of every convolution, and whether its stage ends with it."""
    return [(filters, i == len(stage)) for stage in stages for i, filters in enumerate(stage, start=1)]


def _convolution(x, filters: int, size: int, name: str):
    # fmt: off
    return layers.Conv2D(
        filters, size, padding="same", use_bias=False, kernel_initializer=he_normal(), name=name)(x)
    # fmt: on
