"""Keras' own pipeline from a folder of JPEG files: image_dataset_from_directory."""

from collections.abc import Callable

import keras
import tensorflow as tf

from benchmarks.contenders.taking import take_rounds
from benchmarks.task import Task


def train(task: Task, pause: Callable[[], None]) -> None:
    """Batches without end."""
    directory = f"{task.source.removeprefix('folder:')}/train"
    size = (task.image_size, task.image_size)
    dataset = keras.utils.image_dataset_from_directory(directory, batch_size=task.batch, image_size=size, verbose=0)
    take_rounds(task, pause, iter(dataset.repeat().prefetch(tf.data.AUTOTUNE)))
