"""BMP and GIF files to pixels, inside TensorFlow's graph, where `tf.io.decode_image` alone does not do."""

import tensorflow as tf

from pipeline.sources.traced import not_inlined, refused

# Of a BMP file (Windows bitmap, version 3): where these numbers stand, in bytes from its start.
PIXELS, _HEADER_BYTES, SIZE, BITS, _COMPRESSION = 10, 14, 18, 28, 30
_HEAD = 14 + 124 + 4 * 256  # bytes before the pixels, at most: file header, longest header, palette
BMP_BITS, BMP_PLAIN = (8, 24, 32), (0, 3)  # bits a pixel, and compressions, that can be decoded


@not_inlined
def decode_bmp(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """The bytes of a BMP file, a scalar string -> [height, width, channels] uint8; an alpha channel is ignored.

    Raises tf.errors.InvalidArgumentError for other than BMP_BITS a pixel, and for compressed files.
    """
    head = tf.io.decode_raw(encoded, tf.uint8, fixed_length=_HEAD)
    has_bits = _is_one_of(BMP_BITS, _number(head, BITS, 2))
    may_be_read = has_bits & _is_one_of(BMP_PLAIN, _number(head, _COMPRESSION, 4))
    fault = tf.where(has_bits, "compressed BMP file", "BMP file of other than 8, 24 or 32 bits a pixel")
    stored = tf.io.decode_bmp(tf.cond(may_be_read, lambda: encoded, lambda: refused(fault)), channels=0)
    colours = tf.cond(tf.shape(stored)[-1] == 1, lambda: _of_palette(head, stored), lambda: stored[..., :3])
    return _in_channels(tf.ensure_shape(colours, [None, None, 3]), channels)


@not_inlined
def decode_gif(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """The bytes of a GIF file, a scalar string -> its first frame, [height, width, channels] uint8."""
    return _in_channels(tf.io.decode_image(encoded, channels=3, expand_animations=False), channels)


def _of_palette(head: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """The colours that the numbers of a BMP file of 8 bits stand for. TensorFlow takes them for levels of grey."""
    start = 14 + _number(head, _HEADER_BYTES, 4)
    count = tf.clip_by_value((_number(head, PIXELS, 4) - start) // 4, 1, 256)
    places = tf.minimum(start + 4 * tf.range(count)[:, None] + tf.constant([2, 1, 0]), _HEAD - 1)
    return tf.gather(tf.gather(head, places), tf.minimum(tf.cast(numbers[..., 0], tf.int32), count - 1))


def _in_channels(colours: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.image.rgb_to_grayscale(colours) if channels == 1 else colours


def _number(head: tf.Tensor, place: int, count: int) -> tf.Tensor:
    """`count` bytes, the least first: int32, no larger than the head."""
    weights = tf.constant([256**power for power in range(count)], tf.int64)
    total = tf.reduce_sum(tf.cast(head[place : place + count], tf.int64) * weights)
    return tf.cast(tf.minimum(total, _HEAD), tf.int32)


def _is_one_of(values: tuple[int, ...], number: tf.Tensor) -> tf.Tensor:
    return tf.reduce_any(number == tf.constant(values))
