"""Products of large square matrices, one after the other, through TensorFlow: the ceiling of the hardware."""

import tensorflow as tf

from benchmarks.task import Task
from benchmarks.turns import Pause


def train(task: Task, pause: Pause) -> None:
    """A step is one product of matrices [batch, batch] in the task's precision."""
    left, right = (tf.cast(tf.random.normal([task.batch, task.batch]), task.dtype) for _ in range(2))
    while True:
        for _ in range(task.round_steps):
            product = left @ right
        product[0, 0].numpy()
        pause()
