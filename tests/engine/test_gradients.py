"""The faster gradients are TensorFlow's own, of whatever model."""

import contextlib
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from small_run import trainer

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
    faster, kinds_of_faster = _by_both(
        partial(gradients.replaced, True, False), dtype, left_transposed, right_transposed
    )
    for one, other in zip(own, faster, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert not any(kind.startswith("BatchMatMul") for kind in kinds)
    assert sum(kind.startswith("BatchMatMul") for kind in kinds_of_faster) == 1


@pytest.mark.parametrize("reduce", [tf.reduce_max, tf.reduce_min])
@pytest.mark.parametrize("axes", [[1, 2], [0], -1, None])
@pytest.mark.parametrize("keepdims", [False, True])
def test_those_of_extremes(reduce, axes, keepdims):
    values = np.random.default_rng(2).permutation(60).reshape(SIZES).astype(np.float32)  # no two are equal

    def of(context, values):
        with context():
            extremes = reduce(values, axes, keepdims=keepdims)
        return tf.gradients(tf.reduce_sum(extremes * extremes), values)[0]

    own = tf.function(lambda given: of(contextlib.nullcontext, given))(values)
    compiled = tf.function(
        lambda given: of(partial(gradients.replaced, on_cpus=False, jit=True), given), jit_compile=True
    )(values)
    np.testing.assert_array_equal(compiled, own)


def test_a_compiled_model_with_a_maximum_over_normalized_pixels_has_the_plain_gradient():
    """XLA computes the pixels twice, and rounds them in two ways."""
    fields = {"model": "whitened", "source": "fake:64", "image_size": "16", "global_batch": 8}
    plain, compiled = (trainer(1, **fields, jit=jit).gradient(0) for jit in (False, True))
    assert compiled.loss == pytest.approx(plain.loss, rel=1e-5)
    for path, gradient in plain.by_parameter.items():
        largest = np.abs(gradient).max()
        np.testing.assert_allclose(compiled.by_parameter[path], gradient, rtol=0, atol=0.02 * largest, err_msg=path)
