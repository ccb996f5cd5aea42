"""TFDS's own tf.data pipeline where it holds nothing, as of a data set that is not small: read in order, decoded."""

from collections.abc import Callable

from benchmarks.contenders import tfds_dataset
from benchmarks.task import Task


def train(task: Task, pause: Callable[[], None]) -> None:
    """As `tfds_dataset.train`."""
    tfds_dataset.train(task, pause, held=False)
