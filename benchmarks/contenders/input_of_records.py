"""This pipeline's batches from a TFDS data set that is read record by record, as a large one is."""

from collections.abc import Callable

from benchmarks.contenders import input_alone
from benchmarks.task import Task
from pipeline.sources import tfds


def train(task: Task, pause: Callable[[], None]) -> None:
    """As `input_alone.train`."""
    tfds.HELD_BYTES = 0
    input_alone.train(task, pause)
