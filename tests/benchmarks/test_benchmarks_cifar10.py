"""The fast recipe beside plain loops: its flags, its table, and that all train one network."""

import argparse

import numpy as np

from benchmarks import cifar10
from benchmarks.contenders import plain_keras
from benchmarks.recipes import Outcome
from benchmarks.task import Task
from pipeline import models


def test_the_recipe_is_that_of_the_file_with_the_flags_that_were_given():
    options = argparse.Namespace(source="folder:pictures", steps=0)
    whole = cifar10.settings(cifar10.changed(options))
    assert (whole.model, whole.source, whole.optimizer, whole.bias_rate) == ("whitened", options.source, "muon", 64)
    options.steps = 40
    short = cifar10.settings(cifar10.changed(options))
    assert short.steps == 40
    short.validate()


def test_accuracies_are_subtracted_and_times_divided_seed_by_seed():
    outcomes = [
        *(Outcome("cifar10_fast", 1, 0.92, 10.0, 120.0), Outcome("PyTorch", 1, 0.915, 12.0, 100.0)),
        *(Outcome("cifar10_fast", 2, 0.91, 20.0, 60.0), Outcome("PyTorch", 2, 0.911, 30.0, 40.0)),
    ]
    lines = cifar10.table(outcomes).splitlines()
    assert lines[-1] == "+0.20 points beside PyTorch, and 1.35 times as fast"
    assert lines[2].split()[:3] == ["cifar10_fast", "2", "91.50"]


def test_the_network_in_kerass_own_layers_has_the_same_logits_in_training_and_at_inference():
    task = Task("keras_fit", 4, model="whitened")
    ours, plain = models.build("whitened", (32, 32, 3), 10, 1, "float32"), plain_keras.model(task, (32, 32, 3), 10)
    for variable, value in zip(plain.trainable_variables, ours.trainable_variables, strict=True):
        variable.assign(value)
    images = np.random.default_rng(0).random([4, 32, 32, 3], np.float32)
    # Inference first: training changes the running statistics, in Keras without the factor n / (n - 1).
    found = [plain.predict(images, verbose=0), plain(images, training=True)]
    for logits, training in zip(found, (False, True), strict=True):
        expected = ours(images, training=training)
        np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
