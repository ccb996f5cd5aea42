"""RandAugment (Cubuk et al. 2020): a few operations of one strength, drawn for each image.

Strengths are those of the paper's code at a magnitude of 30 at most. Pictures are turned and sheared about their
centre and read bilinearly; what comes from outside is black.
"""

import functools
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from pipeline.augment import colours
from pipeline.augment.warping import affine, warp

MOST_MAGNITUDE = 30
_MOST_SHEAR, _MOST_TURN, _MOST_MOVE, _MOST_BLEND = 0.3, 30.0, 150 / 331, 0.9

Change = Callable[[tf.Tensor], tf.Tensor]  # of images [1, height, width, channels] uint8


def apply(images: tf.Tensor, magnitude: int, times: int, draws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Images, each changed by `times` operations. draws: two for each time, [n] in [0, 1): operation and direction."""
    own = tf.stack(draws[: 2 * times], axis=1)

    def one(element: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, numbers = element[0][None], tf.unstack(element[1])
        for which, direction in zip(numbers[::2], numbers[1::2], strict=True):
            changes = [functools.partial(change, image) for change in operations(magnitude, direction, image.shape)]
            image = tf.switch_case(tf.cast(which * len(changes), tf.int32), changes)
        return image[0]

    return tf.map_fn(one, (images, own), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8))


def operations(magnitude: int, direction: tf.Tensor, shape: tf.TensorShape) -> list[Change]:
    """The operations at this magnitude, 1 to MOST_MAGNITUDE. direction: [] in [0, 1); below half, weaker or back."""
    share = magnitude / MOST_MAGNITUDE
    sign = tf.where(direction < 0.5, -1.0, 1.0)[None]
    _, height, width, _ = shape
    factor = 1 + _MOST_BLEND * share * sign
    angle = math.radians(_MOST_TURN * share)
    shear, sine, cosine = _MOST_SHEAR * share * sign, math.sin(angle) * sign, math.cos(angle)

    def moved(**by: tf.Tensor | float) -> Change:
        return lambda images: warp(images, affine(sign, **by))

    return [
        lambda images: images,
        moved(b=shear),
        moved(c=shear),
        moved(tx=int(_MOST_MOVE * share * width) * sign),
        moved(ty=int(_MOST_MOVE * share * height) * sign),
        moved(a=cosine, b=-sine, c=sine, d=cosine),
        lambda images: colours.brightness(images, factor),
        lambda images: colours.saturation(images, factor),
        lambda images: colours.contrast(images, factor),
        lambda images: colours.sharpness(images, factor),
        lambda images: colours.posterize(images, 8 - round(4 * share)),
        lambda images: colours.solarize(images, 255 * (1 - share)),
        colours.autocontrast,
        colours.equalize,
    ]
