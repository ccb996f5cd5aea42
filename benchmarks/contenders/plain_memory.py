"""A plain tf.data pipeline from arrays in memory."""

from collections.abc import Callable

import tensorflow as tf

from benchmarks.contenders.taking import take_rounds
from benchmarks.examples import training_examples
from benchmarks.task import SHUFFLE_BUFFER, Task


def train(task: Task, pause: Callable[[], None]) -> None:
    """Batches without end."""
    images, labels, _ = training_examples(task)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(SHUFFLE_BUFFER).repeat()
    dataset = dataset.batch(task.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    take_rounds(task, pause, iter(dataset))
