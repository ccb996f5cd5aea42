"""Keras' own training loop: the same model through compile and fit, fed by tf.data."""

from collections.abc import Callable

import keras
import tensorflow as tf

from benchmarks.examples import training_examples
from benchmarks.task import SHUFFLE_BUFFER, Task
from pipeline import models

EPOCHS_WITHOUT_END = 2**31 - 1


def train(task: Task, pause: Callable[[], None]) -> None:
    """One long fit, of which a round is an epoch."""
    images, labels, num_classes = training_examples(task)
    model = models.build(task.model, images.shape[1:], num_classes, seed=1, precision="float32")
    model.compile(
        optimizer=keras.optimizers.Adam(task.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(
        _dataset(images, labels, task.batch),
        steps_per_epoch=task.round_steps,
        epochs=EPOCHS_WITHOUT_END,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: pause())],
        shuffle=False,  # the data set does that
        verbose=0,
    )


def _dataset(images, labels, batch: int) -> tf.data.Dataset:
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    dataset = dataset.shuffle(SHUFFLE_BUFFER).repeat().batch(batch, drop_remainder=True)
    scale = lambda images, labels: (tf.cast(images, tf.float32) / 255, labels)  # noqa: E731
    return dataset.map(scale, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
