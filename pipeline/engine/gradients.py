"""Gradients of TensorFlow's operations that are faster, or that XLA takes. They compute the values of TensorFlow's."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from pipeline.models import pooling

_MATMUL, _MAX_POOL, _MAX, _MIN = "PipelineMatMul", "PipelineMaxPool", "PipelineMax", "PipelineMin"


@contextlib.contextmanager
def replaced(on_cpus: bool, jit: bool) -> Iterator[None]:
    """Operations that are traced inside have gradients of this file, in a user's own model too.

    on_cpus: those that are faster there. jit: those that XLA compiles to the same bits every time.
    """
    own = {"MatMul": _MATMUL} if on_cpus else {}
    if jit:
        own |= {"MaxPool": _MAX_POOL, "Max": _MAX, "Min": _MIN}
    with contextlib.ExitStack() as stack:
        stack.enter_context(tf.compat.v1.get_default_graph().gradient_override_map(own))
        if jit:
            stack.enter_context(pooling.written_out())
        yield


@tf.RegisterGradient(_MAX_POOL)
def _max_pool_gradient(op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    size, stride = op.get_attr("ksize"), op.get_attr("strides")
    padding, layout = op.get_attr("padding").decode(), op.get_attr("data_format").decode()
    square = size == [1, size[1], size[1], 1] and stride == [1, stride[1], stride[1], 1]
    if not square or padding not in ("SAME", "VALID") or layout != "NHWC":
        (images,), (pooled,) = op.inputs, op.outputs
        return tf.raw_ops.MaxPoolGrad(
            orig_input=images, orig_output=pooled, grad=gradient, ksize=size, strides=stride, padding=padding,
            data_format=layout,
        )  # fmt: skip
    return pooling.written_out_gradient(
        op.inputs[0], op.outputs[0], gradient, size=size[1], stride=stride[1], padding=padding
    )


@tf.RegisterGradient(_MATMUL)
def _matmul_gradient(op: tf.Operation, gradient: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients of a matrix product by its left and by its right factor.

    The gradient by the left factor (in a dense layer: the examples) is a product with the transposed right factor.
    oneDNN computes this product up to three times as slowly in MatMul as in BatchMatMul, so it is computed here as a
    batch of one (TensorFlow 2.21, AVX-512, up to 100 examples; no difference from 256 on). The gradient by the right
    factor is equally fast in both.
    """
    left, right = (tf.math.conj(factor) for factor in op.inputs)  # conj leaves real numbers as they are
    left_transposed, right_transposed = op.get_attr("transpose_a"), op.get_attr("transpose_b")
    if left_transposed:
        of_left = _as_a_batch(right, gradient, transpose_a=right_transposed, transpose_b=True)
    else:
        of_left = _as_a_batch(gradient, right, transpose_b=not right_transposed)
    if right_transposed:
        return of_left, tf.matmul(gradient, left, transpose_a=True, transpose_b=left_transposed)
    return of_left, tf.matmul(left, gradient, transpose_a=not left_transposed)


def _as_a_batch(left: tf.Tensor, right: tf.Tensor, **transposed: bool) -> tf.Tensor:
    return tf.squeeze(tf.matmul(left[tf.newaxis], right[tf.newaxis], **transposed), 0)


@tf.RegisterGradient(_MAX)
def _max_gradient(op: tf.Operation, gradient: tf.Tensor) -> tuple[tf.Tensor, None]:
    return _extreme_gradient(op, gradient, tf.argmax), None


@tf.RegisterGradient(_MIN)
def _min_gradient(op: tf.Operation, gradient: tf.Tensor) -> tuple[tf.Tensor, None]:
    return _extreme_gradient(op, gradient, tf.argmin), None


def _extreme_gradient(op: tf.Operation, gradient: tf.Tensor, arg: Callable[..., tf.Tensor]) -> tf.Tensor:
    """The first of equal extremes gets all of the gradient.

    TensorFlow's own divides by the number of values that equal the extreme. XLA may compute the values anew and round
    them in another way. Then none equals it, and the gradient is not a number.
    """
    values, axes = op.inputs[0], tf.get_static_value(op.inputs[1])
    reduced = sorted({int(axis) % values.shape.rank for axis in np.ravel(axes)})
    order = [axis for axis in range(values.shape.rank) if axis not in reduced] + reduced
    moved = tf.transpose(values, order)
    kept = tf.shape(moved)[: len(order) - len(reduced)]
    flat = tf.reshape(moved, tf.concat([kept, [-1]], 0))
    chosen = tf.one_hot(arg(flat, axis=-1), tf.shape(flat)[-1], dtype=gradient.dtype)
    by_flat = chosen * tf.reshape(gradient, tf.concat([kept, [1]], 0))
    return tf.transpose(tf.reshape(by_flat, tf.shape(moved)), np.argsort(order))
