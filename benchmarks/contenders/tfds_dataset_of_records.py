"""TFDS's own tf.data pipeline that holds nothing in memory, as for a large data set: it reads in order and decodes."""

from collections.abc import Callable

from benchmarks.contenders import tfds_dataset
from benchmarks.task import Task


def train(task: Task, pause: Callable[[], None]) -> None:
    """As `tfds_dataset.train`."""
    tfds_dataset.train(task, pause, held=False)
