"""Affine maps of images."""

from typing import Any, NamedTuple

import tensorflow as tf


class Affine(NamedTuple):
    """Where each output pixel (x, y), from the image's centre, is read: (a x + b y + tx, c x + d y + ty). Each [n]."""

    a: tf.Tensor
    b: tf.Tensor
    tx: tf.Tensor
    c: tf.Tensor
    d: tf.Tensor
    ty: tf.Tensor

    def after(self, other: "Affine") -> "Affine":
        """The map that takes `other` first."""
        return Affine(
            self.a * other.a + self.b * other.c,
            self.a * other.b + self.b * other.d,
            self.a * other.tx + self.b * other.ty + self.tx,
            self.c * other.a + self.d * other.c,
            self.c * other.b + self.d * other.d,
            self.c * other.tx + self.d * other.ty + self.ty,
        )


def affine(
    like: tf.Tensor, a: Any = 1.0, b: Any = 0.0, tx: Any = 0.0, c: Any = 0.0, d: Any = 1.0, ty: Any = 0.0
) -> Affine:
    """The map of these numbers or tensors, each of the shape of `like`; without any, nothing is moved."""
    return Affine(*(value + tf.zeros_like(like) for value in (a, b, tx, c, d, ty)))


def warp(images: tf.Tensor, by: Affine) -> tf.Tensor:
    """Images read through the map, between pixels bilinearly, rounded to the nearest level."""
    height, width = images.shape[1:3]
    x, y = (width - 1) / 2, (height - 1) / 2  # the centre
    a, b, tx, c, d, ty = by
    zero = tf.zeros_like(a)
    rows = [a, b, tx + x - (a * x + b * y), c, d, ty + y - (c * x + d * y), zero, zero]
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack(rows, axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.cast(tf.round(warped), images.dtype)
