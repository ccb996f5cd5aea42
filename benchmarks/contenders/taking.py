"""The loop of every contender of an input benchmark: it takes batches as fast as they come, and does nothing else."""

from collections.abc import Callable

import tensorflow as tf

from benchmarks.task import STEPS_PER_CALL, Task


def take_rounds(task: Task, pause: Callable[[], None], iterator: tf.data.Iterator) -> None:
    """Takes batches of images and labels without end, a round's worth at a time."""
    take = tf.function(_take)
    while True:
        for _ in range(task.round_steps // STEPS_PER_CALL):
            take(iterator).numpy()
        pause()


def _take(iterator: tf.data.Iterator) -> tf.Tensor:
    total = tf.constant(0)
    for _ in tf.range(STEPS_PER_CALL):
        images, labels = iterator.get_next()
        total += _first(images) + _first(labels)
    return total


def _first(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.reshape(tensor, [-1])[0], tf.int32)
