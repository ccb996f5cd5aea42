"""Keras' own training loop: compile and fit, fed by tf.data."""

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
    images, labels, num_classes = training_examples(task)
    fit(task, pause, plain_keras.model(task, images.shape[1:], num_classes), images, labels)


def many_steps(task: Task, pause: Pause) -> None:
    """Fits that model with STEPS_PER_CALL steps in one call of the training function."""
    images, labels, num_classes = training_examples(task)
    model = plain_keras.model(task, images.shape[1:], num_classes)
    fit(task, pause, model, images, labels, steps_per_execution=STEPS_PER_CALL)


def of_our_model(task: Task, pause: Pause) -> None:
    """Fits the pipeline's model, with the pipeline's layers."""
    images, labels, num_classes = training_examples(task)
    model = models.build(task.model, images.shape[1:], num_classes, seed=1, precision=task.precision)
    fit(task, pause, model, images, labels)


def fit(task: Task, pause: Pause, model: keras.Model, images: np.ndarray, labels: np.ndarray, **options) -> None:
    """One long fit, in which an epoch is a round. options: arguments of `compile`."""
    model.compile(
        optimizer=keras.optimizers.Adam(task.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **options,
    )
    model.fit(
        plain_keras.dataset(images, labels, task.batch),
        steps_per_epoch=task.round_steps,
        epochs=EPOCHS_WITHOUT_END,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: pause(logs["loss"], model.count_params()))
        ],
        shuffle=False,  # the data set does that
        verbose=0,
    )
