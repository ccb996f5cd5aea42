"""The fourteen operations among which RandAugment and TrivialAugment draw.

Pictures are turned and sheared about their centre and read bilinearly; what comes from outside is black.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pipeline.augment import colours
from pipeline.augment.warping import affine, warp

Change = Callable[[tf.Tensor], tf.Tensor]  # of images [1, height, width, channels] uint8


class Strengths(NamedTuple):
    """How strong each operation is. Those of maps are [1] float32, with the sign of their direction."""

    shear: tf.Tensor  # pixels for each pixel
    right: tf.Tensor  # pixels that the picture is read further on
    down: tf.Tensor
    sine: tf.Tensor  # of the angle that it is turned by
    cosine: tf.Tensor | float
    factor: tf.Tensor  # of blends, 1 for none
    bits: tf.Tensor | int  # that posterize keeps
    threshold: tf.Tensor | float  # from which solarize inverts


def operations(strengths: Strengths) -> list[Change]:
    """The operations at these strengths; the first one changes nothing."""
    shear, right, down, sine, cosine, factor, bits, threshold = strengths

    def moved(**by: tf.Tensor | float) -> Change:
        return lambda images: warp(images, affine(shear, **by))

    return [
        lambda images: images,
        moved(b=shear),
        moved(c=shear),
        moved(tx=right),
        moved(ty=down),
        moved(a=cosine, b=-sine, c=sine, d=cosine),
        lambda images: colours.brightness(images, factor),
        lambda images: colours.saturation(images, factor),
        lambda images: colours.contrast(images, factor),
        lambda images: colours.sharpness(images, factor),
        lambda images: colours.posterize(images, bits),
        lambda images: colours.solarize(images, threshold),
        colours.autocontrast,
        colours.equalize,
    ]


def done(image: tf.Tensor, which: tf.Tensor, strengths: Strengths) -> tf.Tensor:
    """An image, [1, height, width, channels], after one operation. which: [] in [0, 1), spread over all of them."""
    changes = [functools.partial(change, image) for change in operations(strengths)]
    return tf.switch_case(tf.cast(which * len(changes), tf.int32), changes)


def sign(direction: tf.Tensor) -> tf.Tensor:
    """-1 for a direction below one half, else 1: [] in [0, 1) -> [1] float32."""
    return tf.where(direction < 0.5, -1.0, 1.0)[None]
