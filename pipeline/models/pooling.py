"""The gradient of max pooling, written out in operations that XLA compiles to the same bits every time."""

import contextlib
import itertools
from contextvars import ContextVar

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla  # no public function has the barrier

from pipeline.models import scoped

_WRITTEN_OUT = ContextVar("written_out", default=False)


def written_out() -> contextlib.AbstractContextManager[None]:
    """Inside, `gradient` is `written_out_gradient`: under op determinism XLA refuses TensorFlow's own."""
    return scoped.setting(_WRITTEN_OUT, True)


def gradient(
    images: tf.Tensor, pooled: tf.Tensor, by_pooled: tf.Tensor, *, size: int, stride: int, padding: str
) -> tf.Tensor:
    """The gradient by images [n, height, width, channels], of which `pooled` are the largest of windows, size x size.

    by_pooled: the gradient by these, in their shape. padding: SAME or VALID.
    """
    if _WRITTEN_OUT.get():
        return written_out_gradient(images, pooled, by_pooled, size=size, stride=stride, padding=padding)
    window = {"ksize": [1, size, size, 1], "strides": [1, stride, stride, 1], "padding": padding}
    return tf.raw_ops.MaxPoolGrad(orig_input=images, orig_output=pooled, grad=by_pooled, **window)


def written_out_gradient(
    images: tf.Tensor, pooled: tf.Tensor, by_pooled: tf.Tensor, *, size: int, stride: int, padding: str
) -> tf.Tensor:
    """As `gradient`, inside of a program of XLA. The first of equal pixels in a window gets all of its gradient.

    Height and width are static.
    """
    n, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    rows, columns = pooled.shape[1:3]
    above, taller = _margins(height, rows, size, stride, padding)
    left, wider = _margins(width, columns, size, stride, padding)
    margins = [[0, 0], [above, taller], [left, wider], [0, 0]]
    padded = tf.pad(images, margins, constant_values=images.dtype.min)
    full_height, full_width = padded.shape[1:3]
    spread_height, spread_width = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    places = list(itertools.product(range(size), range(size)))
    pixels = [padded[:, y : y + spread_height : stride, x : x + spread_width : stride] for y, x in places]
    # The place of each window's largest pixel. It isn't looked for by its value: XLA may compute that anew, and round
    # it in another way.
    largest, winners = pixels[0], tf.zeros(tf.shape(pooled), tf.int8)
    for place in range(1, len(places)):
        is_larger = pixels[place] > largest
        largest, winners = tf.maximum(largest, pixels[place]), tf.where(is_larger, tf.constant(place, tf.int8), winners)
    if size > stride:
        # Several windows share a pixel. XLA would find their largest pixels anew for each of their pixels.
        winners = _computed_once(winners)
    total = tf.zeros_like(padded)
    for place, (row, column) in enumerate(places):
        part = tf.where(winners == place, by_pooled, tf.zeros_like(by_pooled))[:, :, tf.newaxis, :, tf.newaxis]
        part = tf.pad(part, [[0, 0], [0, 0], [0, stride - 1], [0, 0], [0, stride - 1], [0, 0]])
        part = tf.reshape(part, [n, rows * stride, columns * stride, channels])[:, :spread_height, :spread_width]
        below, right = full_height - row - spread_height, full_width - column - spread_width
        total += tf.pad(part, [[0, 0], [row, below], [column, right], [0, 0]])
    return _computed_once(total[:, above : above + height, left : left + width])


def _computed_once(value: tf.Tensor) -> tf.Tensor:
    """The value. XLA would otherwise compute it in each of the operations that need it."""
    (same,) = xla.optimization_barrier(value)
    return same


def _margins(length: int, windows: int, size: int, stride: int, padding: str) -> tuple[int, int]:
    """Pixels to add before and after, so that every window lies inside."""
    missing = max((windows - 1) * stride + size - length, 0)
    before = missing // 2 if padding == "SAME" else 0
    return before, missing - before
