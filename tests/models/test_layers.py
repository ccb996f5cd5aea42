import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.models.layers import FusedBatchNormalization, PooledConvolution, rectified_and_pooled


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


@pytest.mark.parametrize(("dtype", "of_a_sum"), [(tf.float32, 1e-5), (tf.bfloat16, 0.05)])
def test_the_gradient_of_the_maxima_is_that_of_all_pixels(dtype, of_a_sum):
    convolved, weights = (
        tf.cast(tf.random.stateless_normal([4, *shape, 5], seed=[3, i]), dtype)
        for i, shape in enumerate([(9, 11), (5, 6)])
    )
    bias = tf.cast([-1.0, -0.5, 0, 0.5, 1], dtype)

    def plain(x, bias):
        return tf.nn.max_pool2d(tf.nn.relu(tf.nn.bias_add(x, bias)), 2, 2, "SAME")

    def computed(function):
        with tf.GradientTape() as tape:
            tape.watch([convolved, bias])
            output = function(convolved, bias)
        gradients = tape.gradient(output, [convolved, bias], weights)
        return [tf.cast(each, tf.float32).numpy() for each in (output, *gradients)]

    output, by_convolved, by_bias = computed(rectified_and_pooled)
    expected, expected_by_convolved, expected_by_bias = computed(plain)
    assert (output == 0).sum() > 20, "windows without a positive pixel are tried"
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(by_convolved, expected_by_convolved)
    np.testing.assert_allclose(by_bias, expected_by_bias, rtol=of_a_sum, atol=of_a_sum)


def test_pooled_convolution_survives_its_own_configuration():
    layer = PooledConvolution(5, 3, keras.initializers.GlorotUniform(seed=1), keras.initializers.Zeros(), name="conv1")
    again = PooledConvolution.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def trained(layer, images, weights, gamma, beta):
    """Outputs, new running statistics, and gradients, of a layer that has seen one batch."""
    layer.build(images.shape)
    with tf.GradientTape() as tape:
        tape.watch([gamma, beta, images])
        running = [v.value for v in layer.non_trainable_variables]
        outputs, running = layer.stateless_call([gamma, beta], running, images, training=True)
        loss = tf.reduce_sum(weights * tf.cast(outputs, tf.float32) ** 2)
    return outputs, running, tape.gradient(loss, [gamma, beta, images])


def test_fused_batch_normalization_is_that_of_keras():
    images, weights = (3 + 2 * tf.random.stateless_normal([8, 6, 5, 4], seed=[1, i]) for i in range(2))
    gamma, beta = tf.constant([1.0, 2, 3, 4]), tf.constant([0.0, 1, 2, 3])
    fused, plain = (
        kind(momentum=0.75, epsilon=1e-5) for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    outputs, (mean, variance), gradients = trained(fused, images, weights, gamma, beta)
    expected, (expected_mean, expected_variance), expected_gradients = trained(plain, images, weights, gamma, beta)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-5)
    unbiased = 8 * 6 * 5 / (8 * 6 * 5 - 1)  # the one difference
    np.testing.assert_allclose(variance, 0.75 + (expected_variance - 0.75) * unbiased, rtol=1e-5)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-3 * np.abs(other).max())


@pytest.mark.parametrize("state", [{"training": False}, {"training": True, "trainable": False}])
def test_fused_batch_normalization_uses_its_running_statistics_outside_of_training(state):
    images = 3 + 2 * tf.random.stateless_normal([8, 6, 5, 4], seed=[1, 2])
    layer = FusedBatchNormalization(epsilon=1e-5, trainable=state.get("trainable", True))
    np.testing.assert_allclose(layer(images, training=state["training"]), images / np.sqrt(1 + 1e-5), rtol=1e-5)
