"""Random erasing (Zhong et al. 2020, algorithm 1)."""

from collections.abc import Sequence

import tensorflow as tf

from pipeline.augment.rectangles import side, start, within

_LEAST_AREA, _MOST_AREA = 0.02, 1 / 3  # shares of the image
_MOST_ASPECT = 3.3  # height to width; the least is its inverse
_NUM_ASPECTS = 256


def apply(images: tf.Tensor, probability: float, draws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Images [n, height, width, channels] uint8, of which this share has a black rectangle.

    draws: five, [n] in [0, 1). Sides are cut to those of the image, where the paper draws again.
    """
    happens, area, aspect, down, across = draws
    height, width = images.shape[1:3]
    pixels = (_LEAST_AREA + (_MOST_AREA - _LEAST_AREA) * area) * (height * width)
    # Evenly spaced in their logarithms, and from a table, as in tensors.py.
    aspects = tf.constant([_MOST_ASPECT ** (2 * i / (_NUM_ASPECTS - 1) - 1) for i in range(_NUM_ASPECTS)])
    ratio = tf.gather(aspects, tf.cast(aspect * _NUM_ASPECTS, tf.int32))
    erased = (happens < probability)[:, None, None, None]
    sides = side(pixels * ratio, height), side(pixels / ratio, width)
    rows, columns = (
        within(tf.cast(start(draw, size - length), tf.float32), length, size)
        for draw, size, length in zip((down, across), (height, width), sides, strict=True)
    )
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(erased & inside, tf.zeros_like(images), images)
