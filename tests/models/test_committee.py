"""Two networks as one model: each is trained as if it were alone, on its part of a batch, and their mean answers."""

import numpy as np
import pytest
import small_run
import tensorflow as tf

from pipeline import models
from pipeline.engine import state
from pipeline.errors import UsageError
from pipeline.models.committee import Mean, Part

SHAPE = (16, 16, 3)
IMAGES = np.random.default_rng(0).random([6, *SHAPE], np.float32)
LABELS = np.array([1, 2, 3, 4, 5, 6])
HALVES = {"network1_": slice(0, 3), "network2_": slice(3, 6)}


def build(name):
    return models.build(name, SHAPE, 10, 1, "float32")


@pytest.fixture(scope="module")
def pair():
    return build("whitened_pair")


def alone(pair, prefix):
    """One of the pair's networks, as a model."""
    single = build("whitened")
    values = {variable.path: variable for variable in pair.variables}
    for variable in single.variables:
        variable.assign(values[prefix + variable.path])
    return single


def gradients(model, images, labels):
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
        loss = tf.reduce_mean(losses)
    found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    return dict(zip([v.path for v in model.trainable_variables], found, strict=True))


def test_each_begins_with_values_of_its_own(pair):
    kernels = [pair.get_layer(f"{prefix}stage1_conv1").kernel.numpy() for prefix in HALVES]
    assert (kernels[0] != kernels[1]).mean() > 0.5
    assert sum(int(np.prod(v.shape)) for v in pair.trainable_variables) == 2 * 1_972_480


def test_in_training_each_has_its_half_of_a_batch_and_the_gradient_of_that_alone(pair):
    whole = gradients(pair, IMAGES, LABELS)
    logits = pair(IMAGES, training=True)
    for prefix, half in HALVES.items():
        single = alone(pair, prefix)
        np.testing.assert_array_equal(single(IMAGES[half], training=True), logits[half])
        for path, gradient in gradients(single, IMAGES[half], LABELS[half]).items():
            np.testing.assert_array_equal(whole[prefix + path], gradient)


def test_both_answer(pair):
    single = [alone(pair, prefix)(IMAGES, training=False) for prefix in HALVES]
    np.testing.assert_allclose(pair(IMAGES, training=False), (single[0] + single[1]) / 2, atol=1e-6)


@pytest.mark.parametrize("size", range(3, 8))
def test_every_example_is_in_one_part(size):
    batch = np.arange(size)
    parts = [Part(number, 3)(batch, training=True) for number in range(3)]
    np.testing.assert_array_equal(Mean()(parts, training=True), batch)
    assert {len(part) for part in parts} <= {size // 3, -(-size // 3)}
    np.testing.assert_array_equal(Part(1, 3)(batch, training=False), batch)


FIELDS = {"source": "fake:40", "image_size": "16", "model": "whitened_pair", "steps": 2}


def test_a_run_has_the_same_bits_on_one_tower_and_on_two():
    ended = [small_run.train(0, 2, towers, **FIELDS, global_batch=16, grad_shards=2) for towers in (1, 2)]
    assert len({state.parameters_sha256(values) for values in ended}) == 1


def test_a_shard_of_one_example_is_refused():
    with pytest.raises(UsageError, match=r"^a shard has 1 example, and the model 2 networks; raise --global_batch$"):
        small_run.train(0, 1, **FIELDS, global_batch=4, grad_shards=4)
