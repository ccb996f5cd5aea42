"""TFDS's own tf.data pipeline, for TFRecord files only. It holds a small data set in memory, decoded."""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_datasets

from benchmarks.contenders.taking import take_rounds
from benchmarks.task import SHUFFLE_BUFFER, Task


def train(task: Task, pause: Callable[[], None], held: bool = True) -> None:
    """Batches without end. held: whether TFDS may hold a small data set in memory."""
    builder = tensorflow_datasets.builder(task.source.removeprefix("tfds:"), data_dir=task.data_dir)
    read = tensorflow_datasets.ReadConfig(try_autocache=held)
    dataset = builder.as_dataset(split="train", shuffle_files=True, as_supervised=True, read_config=read)
    dataset = dataset.shuffle(SHUFFLE_BUFFER).repeat().batch(task.batch, drop_remainder=True)
    take_rounds(task, pause, iter(dataset.prefetch(tf.data.AUTOTUNE)))
