"""mixup and cutmix: an image and its partner become one, and its label a distribution over the classes.

The partner of the example at position p is the one at position p ^ 1: two neighbours of a batch are two random examples
of the epoch, and lie in one shard if a shard has an even number of examples. So nothing is read twice, and no shard
needs another's examples.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline.augment import Operation
from pipeline.augment.draws import draws_of
from pipeline.augment.rectangles import within

_NUM_SHARES = 4096


def apply(
    operations: Sequence[Operation], images: tf.Tensor, labels: tf.Tensor, positions: tf.Tensor, seed: int, classes: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """See `augment.mixed`."""
    amounts = {operation.name: operation.amount for operation in operations if operation.name in ("mixup", "cutmix")}
    own = draws_of(list(amounts), positions, seed)
    height, width = images.shape[1:3]
    kept = tf.ones([tf.shape(images)[0], height, width])
    if "mixup" in amounts:
        kept = _share(amounts["mixup"], own["mixup"][0])[:, None, None] * kept
    if "cutmix" in amounts:
        cut = _outside(_share(amounts["cutmix"], own["cutmix"][0]), own["cutmix"][1:], height, width)
        kept = cut if "mixup" not in amounts else tf.where((own["mixup"][1] < 0.5)[:, None, None], kept, cut)
    share = kept[:, 0, 0] if "cutmix" not in amounts else _mean(kept)
    return _images(images, kept[..., None]), _labels(labels, share[:, None], classes)


def shares(labels: tf.Tensor, classes: int) -> tf.Tensor:
    """Labels [n] as distributions [n, classes] float32. Labels [n, classes] float32 stay as they are."""
    return labels if len(labels.shape) == 2 else tf.one_hot(labels, classes)


def _share(alpha: float, draw: tf.Tensor) -> tf.Tensor:
    """The share of an image that is its own, from Beta(alpha, alpha): [n] float32, multiples of 1 / 4096."""
    return tf.gather(tf.constant(quantiles(alpha), tf.float32), tf.cast(draw * _NUM_SHARES, tf.int32))


def quantiles(alpha: float) -> np.ndarray:
    """Quantiles of Beta(alpha, alpha), evenly spaced, rounded to multiples of 1 / 4096: [4096] float64.

    The density is integrated over x ** min(alpha, 1), where it is bounded, up to a half; the rest is its mirror image.
    """
    exponent = min(alpha, 1)
    edges = np.linspace(0, 0.5**exponent, 16 * _NUM_SHARES + 1)
    middles = ((edges[1:] + edges[:-1]) / 2) ** (1 / exponent)
    density = middles ** (alpha - exponent) * (1 - middles) ** (alpha - 1)
    below = np.concatenate([[0], np.cumsum(density)])
    levels = (np.arange(_NUM_SHARES // 2) + 0.5) / _NUM_SHARES
    lower = np.interp(levels, below / below[-1] / 2, edges) ** (1 / exponent)
    return np.round(np.concatenate([lower, 1 - lower[::-1]]) * _NUM_SHARES) / _NUM_SHARES


def _outside(share: tf.Tensor, draws: Sequence[tf.Tensor], height: int, width: int) -> tf.Tensor:
    """1 outside and 0 inside a box of about 1 - share of the area: [n, height, width] float32.

    Its centre is any pixel, so it may lie in part outside of the image (Yun et al. 2019, section 3.1).
    """
    part = tf.sqrt(1 - share)
    rows, columns = (
        within(tf.floor(draw * size) - tf.floor(tf.floor(part * size) / 2), tf.floor(part * size), size)
        for draw, size in zip(draws, (height, width), strict=True)
    )
    return tf.where(rows[:, :, None] & columns[:, None, :], 0.0, 1.0)


def _mean(kept: tf.Tensor) -> tf.Tensor:
    """The mean over the pixels of each image, [n]. Multiples of 1 / 4096 are added as whole numbers."""
    whole = tf.reduce_sum(tf.cast(kept * _NUM_SHARES, tf.int64), axis=[1, 2])
    pixels = kept.shape[1] * kept.shape[2]
    return tf.cast(tf.cast(whole, tf.float64) / (pixels * _NUM_SHARES), tf.float32)


def _partners(values: tf.Tensor) -> tf.Tensor:
    """Every pair of neighbours exchanged, along the first axis."""
    pairs = tf.reshape(values, [-1, 2, *values.shape[1:]])
    return tf.reshape(tf.reverse(pairs, [1]), [-1, *values.shape[1:]])


def _images(images: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    own = tf.cast(images, tf.float32)
    mixed = own * kept + _partners(own) * (1 - kept)  # exact: 8 bits times 12, so only the rounding below rounds
    return tf.cast(tf.round(mixed), images.dtype)


def _labels(labels: tf.Tensor, share: tf.Tensor, classes: int) -> tf.Tensor:
    own = shares(labels, classes)
    return own * share + _partners(own) * (1 - share)
