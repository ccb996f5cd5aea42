"""Changes of colours: images [n, height, width, channels] uint8, channels 1 or 3, to images of that shape.

All but hue's give the levels of Pillow's ImageEnhance and ImageOps: sums over an image are of whole numbers, so that
their order does not matter.
"""

from collections.abc import Callable

import tensorflow as tf


def blend(degenerate: tf.Tensor, images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Degenerate + factor * (images - degenerate), cut to 0 to 255 and rounded down, as PIL.Image.blend does.

    factor: [n] float32, or one for all.
    """
    factor = tf.reshape(tf.cast(factor, tf.float32), [-1, 1, 1, 1])
    below, above = tf.cast(degenerate, tf.float32), tf.cast(images, tf.float32)
    return tf.cast(tf.clip_by_value(below + factor * (above - below), 0, 255), tf.uint8)


def grey(images: tf.Tensor) -> tf.Tensor:
    """The luma of ITU-R 601-2, [n, height, width, 1] int32."""
    levels = tf.cast(images, tf.int32)
    if images.shape[-1] == 1:
        return levels
    red, green, blue = tf.unstack(levels, axis=-1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) // 0x10000)[..., None]


def brightness(images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Blended with black."""
    return blend(tf.zeros_like(images), images, factor)


def contrast(images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Blended with each image's mean grey."""
    levels = tf.cast(grey(images), tf.int64)
    pixels = tf.size(levels[0], tf.int64)
    mean = (2 * tf.reduce_sum(levels, axis=[1, 2, 3], keepdims=True) + pixels) // (2 * pixels)
    return blend(mean + tf.zeros_like(images, tf.int64), images, factor)


def saturation(images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Blended with its greys. Grey images stay."""
    return images if images.shape[-1] == 1 else blend(grey(images) + tf.zeros_like(images, tf.int32), images, factor)


def sharpness(images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Blended with its mean over 3 x 3 pixels, of which the middle counts 5 times; pixels at the edges stay."""
    levels = tf.cast(images, tf.int32)
    height, width = images.shape[1:3]
    if min(height, width) < 3:
        return images
    rows = levels[:, :-2] + levels[:, 1:-1] + levels[:, 2:]
    around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    smooth = (2 * (around + 4 * levels[:, 1:-1, 1:-1]) + 13) // 26
    edges = [[0, 0], [1, 1], [1, 1], [0, 0]]
    inner = tf.pad(tf.ones_like(smooth, tf.bool), edges)
    return blend(tf.where(inner, tf.pad(smooth, edges), levels), images, factor)


def hue(images: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """The hues of HSV turned by this share of the circle, [n] float32, rounded to the nearest level."""
    if images.shape[-1] == 1:
        return images
    turned = tf.map_fn(
        lambda pair: tf.raw_ops.AdjustHue(images=pair[0], delta=pair[1]),
        (tf.cast(images, tf.float32), turn),
        fn_output_signature=tf.float32,
    )
    return tf.cast(tf.clip_by_value(tf.round(turned), 0, 255), tf.uint8)


def posterize(images: tf.Tensor, bits: tf.Tensor | int) -> tf.Tensor:
    """The upper bits of each level. bits: 0 to 8, one number for all."""
    masks = tf.constant([256 - 2 ** (8 - kept) for kept in range(9)], tf.uint8)
    return tf.bitwise.bitwise_and(images, tf.gather(masks, bits))


def solarize(images: tf.Tensor, threshold: tf.Tensor | float) -> tf.Tensor:
    """Levels from the threshold on are inverted."""
    return tf.where(tf.cast(images, tf.float32) < threshold, images, 255 - images)


def autocontrast(images: tf.Tensor) -> tf.Tensor:
    """Each channel stretched to 0 to 255."""
    levels = tf.cast(images, tf.float64)  # as Pillow computes
    least, most = (f(levels, axis=[1, 2], keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
    scale = 255 / tf.maximum(most - least, 1)
    stretched = tf.cast(tf.clip_by_value(levels * scale - least * scale, 0, 255), tf.uint8)
    return tf.where(most > least, stretched, images)


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Each channel's histogram made as even as a table of levels can."""
    height, width, channels = images.shape[1:]
    flat = tf.reshape(tf.transpose(tf.cast(images, tf.int32), [0, 3, 1, 2]), [-1, height * width])
    histogram = tf.raw_ops.DenseBincount(input=flat, size=256, weights=tf.zeros([0], tf.int32))
    last = tf.reduce_max(flat, axis=1, keepdims=True)
    step = (height * width - tf.gather(histogram, last, batch_dims=1)) // 255
    divisor = tf.maximum(step, 1)
    table = tf.minimum((step // 2 + tf.cumsum(histogram, axis=1, exclusive=True)) // divisor, 255)
    levels = tf.where(step > 0, tf.gather(table, flat, batch_dims=1), flat)
    whole = tf.transpose(tf.reshape(levels, [-1, channels, height, width]), [0, 2, 3, 1])
    return tf.cast(whole, tf.uint8)


def _by_factor(change: Callable[..., tf.Tensor]) -> Callable[[tf.Tensor, float, tf.Tensor], tf.Tensor]:
    return lambda images, most, draw: change(images, 1 + most * (2 * draw - 1))


# The parts of colour jitter in their order: functions of images, --augment's amount and a draw in [0, 1), [n].
JITTER: dict[str, Callable[[tf.Tensor, float, tf.Tensor], tf.Tensor]] = {
    "brightness": _by_factor(brightness),
    "contrast": _by_factor(contrast),
    "saturation": _by_factor(saturation),
    "hue": lambda images, most, draw: hue(images, most * (2 * draw - 1)),
}
