import functools

import numpy as np
import pytest
import tensorflow as tf
from small_run import assembly

from pipeline import models
from pipeline.config import Config
from pipeline.engine import forward
from pipeline.engine.losses import CrossEntropy
from pipeline.errors import UsageError
from pipeline.models.variables import seeds_of, statistics_of

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]])
LABELS = np.array([0, 1])
IMAGES = np.arange(2 * 28 * 28).reshape(2, 28, 28, 1) % 251


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def traced_shard_sums(model, seeds, loss_factor=0.25, smoothing=0.0):
    """The traced function, and its arguments."""
    parameters = [tf.constant(v.numpy()) for v in model.trainable_variables]
    statistics = [tf.constant(v.numpy()) for v in statistics_of(model)]
    images, labels = tf.constant(IMAGES, tf.uint8), tf.constant(LABELS, tf.int32)
    options = {"loss_factor": tf.constant(loss_factor), "loss": CrossEntropy(smoothing)}
    function = tf.function(functools.partial(forward.shard_sums, model, **options), autograph=False)
    return function, (parameters, statistics, seeds, images, labels)


def shard_sums(*arguments, **options):
    function, arguments = traced_shard_sums(*arguments, **options)
    return function(*arguments)


@pytest.mark.parametrize("name", ["models_for_tests:batch_norm", "resnet20"])
def test_no_sum_of_a_gradient_is_left_to_an_operation_that_chooses_its_order(name):
    """AddN of three or more begins with whichever it may overwrite, which is a matter of other threads' progress."""
    model = assembly(model=name).model
    seeds = [tf.constant([1, 2], tf.int64) for _ in seeds_of(model)]
    function, arguments = traced_shard_sums(model, seeds)
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*graph.node, *(node for library in graph.library.function for node in library.node_def)]
    terms = [len(node.input) for node in nodes if node.op == "AddN"]
    assert terms and max(terms) == 2


def test_images_are_normalized_by_channel():
    by = Config(normalize="0.5,0.25,0.1/0.5,0.2,0.1").normalization
    model = models.build("models_for_tests:linear", (2, 2, 3), 10, 1, "float32", by)
    images = np.random.default_rng(3).integers(0, 256, [5, 2, 2, 3], np.uint8)
    kernel = model.trainable_variables[0].numpy()
    expected = ((images / 255 - [0.5, 0.25, 0.1]) / [0.5, 0.2, 0.1]).reshape(5, -1) @ kernel
    np.testing.assert_allclose(forward.evaluate(model, [kernel], [], images), expected, rtol=1e-4, atol=1e-5)


def test_a_normalization_of_other_channels_is_refused():
    with pytest.raises(UsageError, match="normalize has 3 numbers as its mean, and images have 1 channels; give one"):
        models.build("softmax", (2, 2, 1), 10, 1, "float32", Config(normalize="imagenet").normalization)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_and_gradient_of_a_shard_by_hand(smoothing):
    model = assembly(model="models_for_tests:linear").model
    sums = shard_sums(model, [], smoothing=smoothing)
    pixels = IMAGES.reshape(2, -1).astype(np.float64) / 255
    logits = pixels @ model.trainable_variables[0].numpy().astype(np.float64)
    target = (1 - smoothing) * np.eye(10)[LABELS] + smoothing / 10
    np.testing.assert_allclose(sums.loss, 0.25 * -(target * log_softmax(logits)).sum(), rtol=1e-6)
    gradient = 0.25 * pixels.T @ (np.exp(log_softmax(logits)) - target)
    np.testing.assert_allclose(sums.gradients[0], gradient, rtol=1e-4, atol=1e-6)
    assert sums.correct == (logits.argmax(axis=1) == LABELS).sum()
    assert sums.statistics == []


def test_what_is_random_is_a_function_of_the_seeds_given():
    model = assembly(model="convolutional").model
    losses = [float(shard_sums(model, [tf.constant(seed, tf.int64)]).loss) for seed in ([1, 2], [1, 2], [1, 3])]
    assert losses[0] == losses[1] != losses[2]


def test_every_random_layer_takes_its_own_seed():
    model = assembly(model="models_for_tests:batch_norm").model
    assert len(seeds_of(model)) == 2
    seeds = [[tf.constant([a, 1], tf.int64), tf.constant([b, 1], tf.int64)] for a, b in [(5, 6), (9, 6), (5, 9)]]
    assert len({float(shard_sums(model, pair).loss) for pair in seeds}) == 3


def test_nothing_is_random_in_evaluation():
    model = assembly(model="convolutional").model
    parameters = [tf.constant(v.numpy()) for v in model.trainable_variables]
    images = tf.constant(IMAGES, tf.uint8)
    logits = [forward.evaluate(model, parameters, [], images).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*logits)
    np.testing.assert_allclose(logits[0], model(IMAGES / 255.0, training=False), rtol=1e-4, atol=1e-5)
