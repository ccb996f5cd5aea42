"""TrivialAugment (Müller & Hutter 2021): one operation for each image, of a strength that is drawn too.

Strengths are those of the paper's wide space: 31 levels from nothing to the most.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from pipeline.augment import changes
from pipeline.augment.changes import Change, Strengths

LEVELS = 31
_MOST_SHEAR, _MOST_TURN, _MOST_MOVE, _MOST_BLEND, _MOST_BITS_LOST = 0.99, 135.0, 32, 0.99, 6
_SHARES = [level / (LEVELS - 1) for level in range(LEVELS)]


def apply(images: tf.Tensor, draws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Images, each changed by one operation. draws: three, [n] in [0, 1): operation, level and direction."""

    def one(element: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        which, level, direction = tf.unstack(element[1])
        return changes.done(element[0][None], which, _strengths(tf.cast(level * LEVELS, tf.int32), direction))[0]

    own = tf.stack(draws, axis=1)
    return tf.map_fn(one, (images, own), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8))


def operations(level: tf.Tensor | int, direction: tf.Tensor) -> list[Change]:
    """The operations at this level, 0 to LEVELS - 1. direction: [] in [0, 1); below half, weaker or back."""
    return changes.operations(_strengths(level, direction))


def _strengths(level: tf.Tensor | int, direction: tf.Tensor) -> Strengths:
    """From tables, since the sine of a tensor may depend on its place in a batch."""
    sign = changes.sign(direction)

    def at_level(values: Sequence[float]) -> tf.Tensor:
        return tf.gather(tf.constant(values, tf.float32), level)

    moved = at_level([int(_MOST_MOVE * share) for share in _SHARES]) * sign
    angles = [math.radians(_MOST_TURN * share) for share in _SHARES]
    return Strengths(
        shear=at_level([_MOST_SHEAR * share for share in _SHARES]) * sign,
        right=moved,
        down=moved,
        sine=at_level([math.sin(angle) for angle in angles]) * sign,
        cosine=at_level([math.cos(angle) for angle in angles]),
        factor=tf.where(
            sign < 0,
            at_level([1 - _MOST_BLEND * share for share in _SHARES]),
            at_level([1 + _MOST_BLEND * share for share in _SHARES]),
        ),
        bits=tf.gather(tf.constant([8 - round(_MOST_BITS_LOST * share) for share in _SHARES]), level),
        threshold=at_level([255 * (1 - share) for share in _SHARES]),
    )
