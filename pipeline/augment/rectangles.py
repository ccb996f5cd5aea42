"""Rectangles in images, of random sizes and at random places."""

import tensorflow as tf


def side(square: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """The root in whole pixels, at least 1 and at most `most`."""
    return tf.clip_by_value(tf.cast(tf.round(tf.sqrt(square)), tf.int32), 1, most)


def start(draw: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    """A whole number in [0, room]."""
    return tf.minimum(tf.cast(draw * tf.cast(room + 1, tf.float32), tf.int32), room)


def within(first: tf.Tensor, length: tf.Tensor | int, size: int) -> tf.Tensor:
    """Whether each of `size` places lies in [first, first + length): [n] whole float32 -> [n, size] bool.

    length: [n] or one for all.
    """
    places, length = tf.range(size, dtype=tf.float32), tf.reshape(tf.cast(length, tf.float32), [-1, 1])
    return (places >= first[:, None]) & (places < first[:, None] + length)
