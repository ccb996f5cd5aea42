"""Gradients of TensorFlow's operations that compute the same in less time than TensorFlow's own."""

import contextlib

import tensorflow as tf

_MATMUL = "PipelineMatMul"


def faster() -> contextlib.AbstractContextManager[None]:
    """Operations that are traced inside, whosever model they are of, have the gradients of this file."""
    return tf.compat.v1.get_default_graph().gradient_override_map({"MatMul": _MATMUL})


@tf.RegisterGradient(_MATMUL)
def _of_matmul(op: tf.Operation, gradient: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients by both factors of a matrix product.

    That by the left one, in a dense layer the examples, multiplies by the transposed right one: oneDNN's kernel of
    MatMul takes up to three times as long for that as the one of a batch of matrices (TensorFlow 2.21, AVX-512, up to
    100 examples; alike from 256 on). By the right one both are alike.
    """
    left, right = (tf.math.conj(factor) for factor in op.inputs)  # of real numbers: themselves
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
