"""RandAugment (Cubuk et al. 2020): a few operations of one strength, drawn for each image.

Strengths are those of the paper's code at a magnitude of 30 at most.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from pipeline.augment import changes
from pipeline.augment.changes import Change, Strengths

MOST_MAGNITUDE = 30
_MOST_SHEAR, _MOST_TURN, _MOST_MOVE, _MOST_BLEND = 0.3, 30.0, 150 / 331, 0.9


def apply(images: tf.Tensor, magnitude: int, times: int, draws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Images, each changed by `times` operations. draws: two for each time, [n] in [0, 1): operation and direction."""
    own = tf.stack(draws[: 2 * times], axis=1)

    def one(element: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, numbers = element[0][None], tf.unstack(element[1])
        for which, direction in zip(numbers[::2], numbers[1::2], strict=True):
            image = changes.done(image, which, _strengths(magnitude, direction, image.shape))
        return image[0]

    return tf.map_fn(one, (images, own), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8))


def operations(magnitude: int, direction: tf.Tensor, shape: tf.TensorShape) -> list[Change]:
    """The operations at this magnitude, 1 to MOST_MAGNITUDE. direction: [] in [0, 1); below half, weaker or back."""
    return changes.operations(_strengths(magnitude, direction, shape))


def _strengths(magnitude: int, direction: tf.Tensor, shape: tf.TensorShape) -> Strengths:
    share, sign = magnitude / MOST_MAGNITUDE, changes.sign(direction)
    _, height, width, _ = shape
    angle = math.radians(_MOST_TURN * share)
    return Strengths(
        shear=_MOST_SHEAR * share * sign,
        right=int(_MOST_MOVE * share * width) * sign,
        down=int(_MOST_MOVE * share * height) * sign,
        sine=math.sin(angle) * sign,
        cosine=math.cos(angle),
        factor=1 + _MOST_BLEND * share * sign,
        bits=8 - round(4 * share),
        threshold=255 * (1 - share),
    )
