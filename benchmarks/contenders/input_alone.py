"""This pipeline's batches, taken as fast as they come, with nothing trained on them."""

from collections.abc import Callable

import tensorflow as tf

from benchmarks.contenders.ours import assemble
from benchmarks.task import STEPS_PER_CALL, Task
from pipeline.batches import Batches


def train(task: Task, pause: Callable[[], None]) -> None:
    """Batches to one tower's device, as the trainer takes them, without end."""
    assembly = assemble(task)
    batches = Batches(assembly.plan, assembly.splits.train)
    dataset = batches.dataset(0, range(assembly.plan.grad_shards))
    [iterator] = assembly.towers(assembly.initial()).iterators([dataset])
    take = tf.function(_take)
    while True:
        for _ in range(task.round_steps // STEPS_PER_CALL):
            take(iterator).numpy()
        pause()


def _take(iterator: tf.data.Iterator) -> tf.Tensor:
    total = tf.constant(0)
    for _ in tf.range(STEPS_PER_CALL):
        images, labels = iterator.get_next()
        total += labels[0, 0] + tf.cast(images[0, 0, 0, 0, 0], tf.int32)
    return total
