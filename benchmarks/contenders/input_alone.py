"""This pipeline's batches, as the trainer takes them, with nothing trained on them."""

from collections.abc import Callable

from benchmarks.contenders.ours import assemble
from benchmarks.contenders.taking import take_rounds
from benchmarks.task import Task
from pipeline.engine.batches import Batches


def train(task: Task, pause: Callable[[], None]) -> None:
    """Batches to one tower's device, without end."""
    assembly = assemble(task)
    batches = Batches(assembly.plan, assembly.splits.train)
    dataset = batches.dataset(0, range(assembly.plan.grad_shards))
    [iterator] = assembly.towers(assembly.initial()).iterators([dataset])
    take_rounds(task, pause, iterator)
