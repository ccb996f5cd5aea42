import keras
import numpy as np
import tensorflow as tf

from pipeline.models.layers import PooledConvolution


def value_and_gradients(function, images, *variables):
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = function(images)
        loss = tf.reduce_sum(output * output)
    return output, tape.gradient(loss, [images, *variables])


def test_pooled_convolution_is_convolution_bias_relu_and_pool():
    images = tf.random.stateless_normal([4, 9, 11, 3], seed=[1, 2])
    layer = PooledConvolution(5, 3, keras.initializers.RandomNormal(seed=1), keras.initializers.RandomNormal(seed=2))
    layer.build(images.shape)
    kernel, bias = layer.kernel.value, layer.bias.value

    def plain(x):
        return tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias), 2, 2, "SAME")

    output, gradients = value_and_gradients(layer, images, kernel, bias)
    expected, expected_gradients = value_and_gradients(plain, images, kernel, bias)
    assert output.shape == (4, 5, 6, 5)
    np.testing.assert_array_equal(output, expected)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-5, atol=1e-5)


def test_pooled_convolution_survives_its_own_configuration():
    layer = PooledConvolution(5, 3, keras.initializers.GlorotUniform(seed=1), keras.initializers.Zeros(), name="conv1")
    again = PooledConvolution.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
