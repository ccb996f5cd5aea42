"""Keras' own loops: compile, then fit or evaluate, fed by tf.data."""

from typing import NoReturn

import keras
import numpy as np

from benchmarks.contenders import plain_keras
from benchmarks.examples import training_examples
from benchmarks.task import STEPS_PER_CALL, Task
from benchmarks.turns import Pause
from pipeline import models

EPOCHS_WITHOUT_END = 2**31 - 1


def train(task: Task, pause: Pause) -> None:
    """Fits a model of Keras' own layers."""
    _train(task, pause)


def many_steps(task: Task, pause: Pause) -> None:
    """Fits that model with STEPS_PER_CALL steps in one call of the training function."""
    _train(task, pause, steps_per_execution=STEPS_PER_CALL)


def without_xla(task: Task, pause: Pause) -> None:
    """Fits that model without XLA; by default, Keras decides about it."""
    _train(task, pause, jit_compile=False)


def xla(task: Task, pause: Pause) -> None:
    """Fits that model through XLA."""
    _train(task, pause, jit_compile=True)


def of_our_model(task: Task, pause: Pause) -> None:
    """Fits the pipeline's model, with the pipeline's layers."""
    images, labels, num_classes = training_examples(task)
    model = models.build(task.model, images.shape[1:], num_classes, seed=1, precision=task.dtype)
    fit(task, pause, model, images, labels)


def _train(task: Task, pause: Pause, **options) -> None:
    images, labels, num_classes = training_examples(task)
    fit(task, pause, plain_keras.model(task, images.shape[1:], num_classes), images, labels, **options)


def fit(task: Task, pause: Pause, model: keras.Model, images: np.ndarray, labels: np.ndarray, **options) -> None:
    """One long fit, in which an epoch is a round, or evaluations of a round each. options: arguments of `compile`."""
    model.compile(
        optimizer=keras.optimizers.Adam(task.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"] if task.evaluates else None,
        **options,
    )
    if task.evaluates:
        _evaluate(task, pause, model, images, labels)
    num_parameters = plain_keras.num_parameters(model)
    model.fit(
        plain_keras.dataset(images, labels, task.batch),
        steps_per_epoch=task.round_steps,
        epochs=EPOCHS_WITHOUT_END,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: pause(logs["loss"], num_parameters))
        ],
        shuffle=False,  # the data set does that
        verbose=0,
    )


def _evaluate(task: Task, pause: Pause, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> NoReturn:
    batches = plain_keras.dataset(images, labels, task.batch, shuffled=False)
    while True:
        loss, _ = model.evaluate(batches, steps=task.round_steps, verbose=0)
        pause(loss, plain_keras.num_parameters(model))
