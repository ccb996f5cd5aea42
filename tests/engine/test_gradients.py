"""The faster gradients are TensorFlow's own, of whatever model."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from pipeline.engine import gradients

SIZES = (3, 4, 5)


def _by_both(context, dtype, left_transposed: bool, right_transposed: bool) -> tuple[list[np.ndarray], list[str]]:
    """Gradients of a matrix product's weighted sum, and the operations that were traced."""
    rows, inner, columns = SIZES
    draw = np.random.default_rng(1).normal
    imaginary = 1j if dtype.is_complex else 0
    left, right, weights = (
        tf.constant(draw(size=shape) + imaginary * draw(size=shape), dtype)
        for shape in (
            (inner, rows) if left_transposed else (rows, inner),
            (columns, inner) if right_transposed else (inner, columns),
            (rows, columns),
        )
    )

    @tf.function(autograph=False)
    def of(left, right):
        with context():
            product = tf.matmul(left, right, transpose_a=left_transposed, transpose_b=right_transposed)
        return tf.gradients(tf.reduce_sum(tf.math.real(product * weights)), [left, right])

    kinds = [op.type for op in of.get_concrete_function(left, right).graph.get_operations()]
    return [gradient.numpy() for gradient in of(left, right)], kinds


@pytest.mark.parametrize("dtype", [tf.float64, tf.complex128], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("left_transposed", [False, True])
@pytest.mark.parametrize("right_transposed", [False, True])
def test_those_of_a_matrix_product(dtype, left_transposed, right_transposed):
    own, kinds = _by_both(contextlib.nullcontext, dtype, left_transposed, right_transposed)
    faster, kinds_of_faster = _by_both(gradients.faster_on_cpus, dtype, left_transposed, right_transposed)
    for one, other in zip(own, faster, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert not any(kind.startswith("BatchMatMul") for kind in kinds)
    assert sum(kind.startswith("BatchMatMul") for kind in kinds_of_faster) == 1
