"""Residual networks: their shapes and initial values, shortcuts by hand, and plain Keras' outputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.contenders import plain_keras
from benchmarks.task import Task
from pipeline import models
from pipeline.engine import forward
from pipeline.errors import UsageError
from pipeline.models import residual, variables

CIFAR = (32, 32, 3)


def build(name, image_shape=CIFAR, num_classes=10, precision="float32"):
    return models.build(name, image_shape, num_classes, 1, precision)


def images_of(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def count(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


def test_resnet20_has_the_layers_and_parameters_of_the_paper():
    model = build("resnet20")
    kernels = [v for v in model.trainable_variables if v.path.endswith("kernel")]
    assert len(kernels) == 20
    # He et al. 2016, table 6: 0.27 million. By hand: kernels, gammas and betas of every convolution, and the logits.
    channels = [(3, 16)] + [(16, 16)] * 6 + [(16, 32)] + [(32, 32)] * 5 + [(32, 64)] + [(64, 64)] * 5
    assert count(model.trainable_variables) == sum(9 * i * o + 2 * o for i, o in channels) + 64 * 10 + 10 == 269_722
    sides = {model.get_layer(f"stage{stage}_block3_relu2").output.shape[1:] for stage in (1, 2, 3)}
    assert sides == {(32, 32, 16), (16, 16, 32), (8, 8, 64)}


def test_resnet20_starts_from_he_normal_kernels_and_neutral_normalization():
    model = build("resnet20")
    neutral = {"gamma": 1, "beta": 0, "bias": 0, "moving_mean": 0, "moving_variance": 1}
    for v in model.variables:
        layer, kind = v.path.split("/")
        if kind == "kernel":
            stddev = np.sqrt(2 / np.prod(v.shape[:-1]))
            assert abs(np.std(v.numpy()) / stddev - 1) < 5 / np.sqrt(np.prod(v.shape)), layer
        else:
            np.testing.assert_array_equal(v.numpy(), neutral[kind], err_msg=v.path)
    assert len(variables.statistics_of(model)) == 2 * 19 and not variables.seeds_of(model)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 7)])
def test_resnet20s_shortcuts_take_every_second_pixel_and_add_channels_of_zeros(height, width):
    """With all later convolutions silent, features reach the logits through the shortcuts alone."""
    model = build("resnet20", (height, width, 3))
    for v in model.trainable_variables:
        if v.path.startswith("stage") and v.path.endswith("gamma"):
            v.assign(np.zeros(v.shape))
    images = images_of(5, height, width, 3)
    first = keras.Model(model.input, model.get_layer("relu").output)(images).numpy()
    pooled = np.pad(first[:, ::4, ::4].mean(axis=(1, 2)), [(0, 0), (0, 48)])
    logits = model.get_layer("logits")
    expected = pooled @ logits.kernel.numpy() + logits.bias.numpy()
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4)


def test_resnet20s_windows_lie_around_the_pixels_that_its_shortcuts_take():
    """With kernels that hold nothing but a 1 in the middle, a block's two ways carry the same pixels."""
    model = build("resnet20", (8, 8, 3))
    pixels = keras.Model(model.input, model.get_layer("stage2_block1_conv1").output)
    before = keras.Model(model.input, model.get_layer("stage1_block3_relu2").output)
    kernel = np.zeros((3, 3, 16, 32), np.float32)
    kernel[1, 1, :, :16] = np.eye(16)
    model.get_layer("stage2_block1_conv1").kernel.assign(kernel)
    images = images_of(2, 8, 8, 3)
    np.testing.assert_allclose(pixels(images)[..., :16], before(images)[:, ::2, ::2], rtol=1e-5)


def test_resnet20s_statistics_move_by_a_tenth():
    model = build("resnet20", (8, 8, 3))
    images = tf.cast(255 * images_of(6, 8, 8, 3), tf.uint8)
    first = keras.Model(model.input, model.get_layer("conv").output)(tf.cast(images, tf.float32) / 255).numpy()
    parameters = [v.value for v in model.trainable_variables]
    statistics = [v.value for v in model.non_trainable_variables]
    _, moved = forward.call(model, parameters, statistics, [], images, training=True)
    np.testing.assert_allclose(moved[0], 0.1 * first.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moved[1], 0.9 + 0.1 * first.var(axis=(0, 1, 2), ddof=1), rtol=1e-4)


def test_resnet50_has_the_parameters_of_the_usual_one():
    """25,557,032 in torchvision's, for colours and 1,000 classes."""
    model = residual.resnet50((224, 224, 3), 1000)
    assert count(model.trainable_variables) == 25_557_032


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
def test_a_network_is_that_of_plain_layers(name):
    model = build(name, (40, 33, 3))
    plain = plain_keras.model(Task("ours", 3, model=name), (40, 33, 3), 10)
    for ours, theirs in zip(model.trainable_variables, plain.trainable_variables, strict=True):
        theirs.assign(ours)
    images = images_of(3, 40, 33, 3)
    expected = model(images)
    np.testing.assert_allclose(plain(images), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_resnet50_refuses_images_that_would_vanish_on_their_way():
    with pytest.raises(UsageError) as told:
        build("resnet50", (31, 64, 3))
    assert str(told.value) == ("model=resnet50: images of 31 x 64 are too small for it; use --image_size=32 or more")


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_logits_are_float32_under_every_precision(name, precision):
    model = build(name, precision=precision)
    logits = model(images_of(2, *CIFAR))
    assert logits.dtype == tf.float32 and np.isfinite(logits).all()
    assert {v.dtype for v in model.variables} == {"float32"}


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
def test_a_saved_model_computes_the_same(name, tmp_path):
    model = build(name)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = images_of(2, *CIFAR)
    np.testing.assert_array_equal(again(images), model(images))
