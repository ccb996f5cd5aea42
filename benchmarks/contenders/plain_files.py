"""A plain tf.data pipeline from a folder of JPEG files, one sub-directory a class."""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from benchmarks.contenders.taking import take_rounds
from benchmarks.task import Task


def train(task: Task, pause: Callable[[], None]) -> None:
    """Batches without end."""
    directory = Path(task.source.removeprefix("folder:"), "train")
    classes = sorted(path.name for path in directory.iterdir())
    files = sorted(directory.glob("*/*.jpg"))
    labels = [classes.index(path.parent.name) for path in files]
    dataset = tf.data.Dataset.from_tensor_slices((list(map(str, files)), labels)).shuffle(len(files)).repeat()
    dataset = dataset.map(_decode, num_parallel_calls=tf.data.AUTOTUNE)
    take_rounds(task, pause, iter(dataset.batch(task.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)))


def _decode(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.io.decode_jpeg(tf.io.read_file(path), channels=3), label
