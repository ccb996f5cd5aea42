"""TFDS's own random access to ArrayRecord files, decoding in Python, called from a plain tf.data pipeline."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_datasets

from benchmarks.contenders.taking import take_rounds
from benchmarks.task import Task


def train(task: Task, pause: Callable[[], None]) -> None:
    """Gives batches without end."""
    builder = tensorflow_datasets.builder(task.source.removeprefix("tfds:"), data_dir=task.data_dir)
    records = builder.as_data_source("train")

    def read(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        examples = records.__getitems__(numbers.tolist())
        return np.stack([e["image"] for e in examples]), np.array([e["label"] for e in examples])

    numbers = tf.data.Dataset.range(len(records)).shuffle(len(records)).repeat().batch(task.batch, drop_remainder=True)
    dataset = numbers.map(
        lambda batch: tf.numpy_function(read, [batch], (tf.uint8, tf.int64)), num_parallel_calls=tf.data.AUTOTUNE
    )
    take_rounds(task, pause, iter(dataset.prefetch(tf.data.AUTOTUNE)))
