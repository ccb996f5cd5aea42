"""Gradients of TensorFlow's operations that are faster, or that XLA takes. They compute the values of TensorFlow's."""

import contextlib

import tensorflow as tf

from pipeline.models import pooling

_MATMUL, _MAX_POOL = "PipelineMatMul", "PipelineMaxPool"


def faster_on_cpus() -> contextlib.AbstractContextManager[None]:
    """Operations that are traced inside have the gradients of this file, in a user's own model too."""
    return tf.compat.v1.get_default_graph().gradient_override_map({"MatMul": _MATMUL})


def for_xla() -> contextlib.AbstractContextManager[None]:
    """Operations that are traced inside have gradients that XLA compiles to the same bits every time."""
    return tf.compat.v1.get_default_graph().gradient_override_map({"MaxPool": _MAX_POOL})


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
