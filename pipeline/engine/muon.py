"""The orthogonal factor of a matrix, approximately, by Newton-Schulz iterations: the step of the optimizer Muon.

Jordan et al. 2024 (Muon: An optimizer for hidden layers in neural networks), whose coefficients these are. They bring
large singular values near 1 at once, and small ones in a few iterations: 3, as in airbench94's second form (Jordan
2024), where language models have 5.
"""

import tensorflow as tf

_COEFFICIENTS, _ITERATIONS = (3.4445, -4.7750, 2.0315), 3
_EPSILON = 1e-7  # added to the norm


def is_matrix(shape: tf.TensorShape) -> bool:
    """Whether a parameter takes such a step: a convolution's kernel, [..., channels, filters], of several of both.

    Kernels of depthwise convolutions have one filter or, in groups, one channel: their rows are unrelated.
    """
    return shape.rank > 2 and min(shape[-2:]) > 1


def step(gradients: tf.Tensor) -> tf.Tensor:
    """Gradients [..., filters] as a matrix [inputs, filters], made orthogonal, times sqrt(max(1, filters / inputs))."""
    matrix = tf.reshape(gradients, [-1, gradients.shape[-1]])
    inputs, filters = matrix.shape
    return tf.reshape(max(1.0, filters / inputs) ** 0.5 * orthogonal(matrix), gradients.shape)


def orthogonal(matrix: tf.Tensor) -> tf.Tensor:
    """U V^T of U S V^T = matrix, about: [rows, columns] float32. Zeros stay zeros."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    a, b, c = _COEFFICIENTS
    x = matrix / (tf.norm(matrix) + _EPSILON)
    for _ in range(_ITERATIONS):
        gram = tf.matmul(x, x, transpose_a=is_tall, transpose_b=not is_tall)  # of the shorter side
        factor = b * gram + c * tf.matmul(gram, gram)
        x = a * x + (tf.matmul(x, factor) if is_tall else tf.matmul(factor, x))
    return x
