"""The written-out gradient of max pooling is TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.models import pooling


def by_xla(gradient, *tensors, **window) -> tf.Tensor:
    return tf.function(lambda *given: gradient(*given, **window), jit_compile=True)(*tensors)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (3, 7, 10, 1)])
def test_it_is_tensorflows(shape, size, stride, padding):
    draws = np.random.default_rng(5)
    images = tf.constant(draws.permutation(np.prod(shape)).reshape(shape), tf.float32)  # no two are equal
    pooled = tf.nn.max_pool2d(images, size, stride, padding)
    by_pooled = tf.constant(draws.integers(-9, 9, pooled.shape), tf.float32)  # sums of integers have one value
    window = {"size": size, "stride": stride, "padding": padding}
    expected = pooling.gradient(images, pooled, by_pooled, **window)
    with pooling.written_out():
        np.testing.assert_array_equal(by_xla(pooling.gradient, images, pooled, by_pooled, **window), expected)


def test_one_of_equal_pixels_gets_all():
    images, by_pooled = tf.ones([1, 2, 2, 1]), tf.fill([1, 1, 1, 1], 5.0)
    window = {"size": 2, "stride": 2, "padding": "SAME"}
    by_images = by_xla(pooling.written_out_gradient, images, by_pooled / 5, by_pooled, **window)
    assert by_images.numpy().reshape(-1).tolist() == [5, 0, 0, 0]
