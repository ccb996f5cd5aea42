"""Wide, shallow networks for small photographs, after airbench94 (Jordan 2024, arXiv 2404.00498).

A fixed convolution whitens the pixels, so that trained layers begin with uncorrelated inputs. Three stages of two 3 x 3
convolutions follow, which begin by passing their inputs on. Logits are float32 under every precision.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from pipeline.errors import UsageError
from pipeline.models import whitening
from pipeline.models.gelu import Gelu
from pipeline.models.layers import ImageShape, normalized

_SIZE = 3  # of the trained windows
_MOMENTUM = 0.6  # of normalization: a run has some hundred steps
_LOGIT_SCALE = 1 / 9
_LEAST_SIDE = 16  # of images: the last pool takes what is left of them after three halvings


def whitened(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """Six trained convolutions, of 64 and four times 256 filters: airbench94; 2.0 million parameters."""
    return _network("whitened", image_shape, num_classes, widths=(64, 256, 256), convolutions=2)


def whitened_wide(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """Nine trained convolutions, of 128, 384 and 512 filters, the last two of a stage with a shortcut: airbench96.

    9.9 million parameters.
    """
    return _network("whitened_wide", image_shape, num_classes, widths=(128, 384, 512), convolutions=3)


@keras.saving.register_keras_serializable("pipeline")
class Whitening(layers.Layer):
    """Every window of 2 x 2 pixels as whitened components and their negatives.

    [n, height, width, channels] in [0, 1] -> [n, height - 1, width - 1, 8 * channels]. The filters are constants: no
    checkpoint holds them.
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """The components."""
        filters = ops.convert_to_tensor(whitening.filters(images.shape[-1]), self.compute_dtype)
        return ops.conv(images - 0.5, filters, padding="valid")

    def in_keras(self) -> Sequence[layers.Layer]:
        """A shift, and a convolution that begins with the filters and has no other variable."""
        filters = whitening.filters(self.input.shape[-1])
        options = {"use_bias": False, "trainable": False, "dtype": self.dtype_policy}
        initial = keras.initializers.Constant(filters)
        return (
            layers.Rescaling(1.0, offset=-0.5, name=self.name, dtype=self.dtype_policy),
            layers.Conv2D(filters.shape[-1], 2, kernel_initializer=initial, name=f"{self.name}_conv", **options),
        )


@keras.saving.register_keras_serializable("pipeline")
class Dirac(keras.initializers.Initializer):
    """Initial values of a convolution: its first filters pass its input channels on, the others are random."""

    def __init__(self) -> None:
        """Draws a seed, as every initializer does."""
        self._random = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """[size, size, channels, filters], size odd."""
        size, _, channels, filters = shape
        passed, middle = min(channels, filters), size // 2
        identity = np.zeros([size, size, channels, passed], np.float32)
        identity[middle, middle, range(passed), range(passed)] = 1
        others = self._random(shape, dtype=dtype)[..., passed:]
        return ops.concatenate([ops.convert_to_tensor(identity, dtype), others], axis=-1)


def _network(
    name: str, image_shape: ImageShape, num_classes: int, widths: Sequence[int], convolutions: int
) -> keras.Model:
    """A stage for each width, of so many convolutions."""
    height, width, channels = image_shape
    if channels not in (1, 3) or min(height, width) < _LEAST_SIDE:
        raise UsageError(f"images of {height} x {width} x {channels}; it takes 1 or 3 channels and sides of 16 or more")
    images = keras.Input(image_shape, name="images")
    x = Whitening(name="whitening")(images)
    x = Gelu(name="whitening_gelu")(x)
    for stage, filters in enumerate(widths, start=1):
        x = _stage(x, filters, convolutions, f"stage{stage}_")
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    initial = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    x = layers.Dense(num_classes, use_bias=False, kernel_initializer=initial, dtype="float32", name="logits")(x)
    return keras.Model(images, layers.Rescaling(_LOGIT_SCALE, dtype="float32", name="scaled")(x), name=name)


def _stage(x: keras.KerasTensor, filters: int, convolutions: int, name: str) -> keras.KerasTensor:
    """The convolutions, each normalized before its GELU, the first pooled; of three, the last two have a shortcut."""
    x = layers.MaxPooling2D(2, name=f"{name}pool")(_convolution(x, filters, f"{name}conv1"))
    x = shortcut = Gelu(name=f"{name}gelu1")(_normalized(x, f"{name}norm1"))
    for number in range(2, convolutions + 1):
        x = _normalized(_convolution(x, filters, f"{name}conv{number}"), f"{name}norm{number}")
        if number == 3:
            x = layers.Add(name=f"{name}add")([shortcut, x])
        x = Gelu(name=f"{name}gelu{number}")(x)
    return x


def _convolution(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(
        filters, _SIZE, padding="same", use_bias=False, kernel_initializer=Dirac(), name=name
    )(x)  # fmt: skip


def _normalized(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return normalized(x, name, _MOMENTUM)
