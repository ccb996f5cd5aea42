"""GELU by TensorFlow and by XLA: values and gradients, and where each of the two computes."""

import math

import numpy as np
import pytest
import small_run
import tensorflow as tf

from pipeline.engine import evaluation, forward
from pipeline.models import gelu
from pipeline.models.gelu import Gelu
from pipeline.serving.images import Images
from pipeline.serving.prediction import Predictor

DRAWS = np.random.default_rng(0)
X = np.concatenate([DRAWS.normal(0, 3, 3_000), [0.0, -0.0, 12.0, -12.0]]).astype(np.float32)
BY_VALUE = DRAWS.normal(size=len(X)).astype(np.float32)
LARGEST = 1e-6  # errors, as a share of 1 or of x


def computed(x, by_value, wanted, dtype="float32"):
    """Values and gradients."""
    x, by_value = tf.constant(x, dtype), tf.constant(by_value, dtype)

    @tf.function(autograph=False)
    def both():
        with gelu.by_xla(wanted):
            values = Gelu(dtype=dtype)(x)
        return values, tf.gradients(values, x, by_value)[0]

    return [result.numpy() for result in both()]


def compiled(function) -> bool:
    """Whether XLA compiles functions that the function's graph calls."""
    definitions = function.get_concrete_function().graph.as_graph_def().library.function
    return any(each.attr["_XlaMustCompile"].b for each in definitions)


@pytest.mark.parametrize("wanted", [False, True])
def test_values_and_gradients_by_hand(wanted):
    values, gradients = computed(X, BY_VALUE, wanted)
    wide = X.astype(np.float64)
    phi = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in wide])
    density = np.exp(-(wide**2) / 2) / math.sqrt(2 * math.pi)
    scale = np.maximum(1, np.abs(wide))
    assert (np.abs(values - wide * phi) / scale).max() < LARGEST
    assert (np.abs(gradients - BY_VALUE * (phi + wide * density)) / scale).max() < LARGEST * np.abs(BY_VALUE).max()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("wanted", [False, True])
def test_16_bits_are_float32_rounded_once(wanted, dtype):
    x, by_value = (tf.cast(tf.cast(given, dtype), tf.float32).numpy() for given in (X, BY_VALUE))
    wide = computed(x, by_value, wanted)
    for found, expected in zip(computed(x, by_value, wanted, dtype), wide, strict=True):
        np.testing.assert_array_equal(found, tf.cast(expected, dtype).numpy())


def test_the_bits_of_xla_depend_on_no_shape():
    values, gradients = computed(X, BY_VALUE, True)
    for count in (1, 7, 33, 1_001):
        parts = [computed(X[i : i + count], BY_VALUE[i : i + count], True) for i in (0, 1_500)]
        for i, (some_values, some_gradients) in zip((0, 1_500), parts, strict=True):
            np.testing.assert_array_equal(some_values, values[i : i + count])
            np.testing.assert_array_equal(some_gradients, gradients[i : i + count])


@pytest.mark.parametrize(
    ("on_cpus", "jit", "expected"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_xla_compiles_it_on_cpus_alone_and_not_inside_of_what_it_compiles_as_a_whole(on_cpus, jit, expected):
    assembly = small_run.assembly(model="whitened", source="fake:40", image_size="16")
    model = assembly.model
    values = [[tf.constant(v) for v in part] for part in (model.trainable_variables, model.non_trainable_variables)]
    images, labels = tf.zeros([2, 16, 16, 1]), tf.zeros([2], tf.int64)

    @tf.function(autograph=False)
    def sums():
        options = {"loss": assembly.loss, "on_cpus": on_cpus, "jit": jit}
        return forward.shard_sums(model, *values, [], images, labels, tf.constant(0.5), **options)

    @tf.function(autograph=False)
    def logits():
        return forward.evaluate(model, *values, tf.zeros([2, 16, 16, 1], tf.uint8), on_cpus)

    assert compiled(sums) == expected
    assert compiled(logits) == on_cpus


def test_evaluations_and_predictions_have_no_other_on_cpus(monkeypatch, tmp_path):
    assembly = small_run.assembly(model="whitened", source="fake:40", image_size="16", eval_batch=4)
    towers = assembly.towers(assembly.initial())
    np.save(tmp_path / "images.npy", images := np.zeros([2, 16, 16, 1], np.uint8))
    monkeypatch.setattr(gelu, "_plain", None)
    assert assembly.evaluator(towers)(assembly.splits.test) is not None
    found = evaluation.probabilities(assembly.model, towers, images, batch=2)
    predicted = Predictor(assembly.model, towers, 2)(Images([str(tmp_path / "images.npy")], images.shape[1:]), False)
    np.testing.assert_array_equal(predicted.probabilities, found)
