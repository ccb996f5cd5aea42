"""Trains towers from one step to another; knows nothing of files, reports or signals."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.engine import failures, placement, state
from pipeline.engine.assembly import Assembly
from pipeline.engine.batches import Batches
from pipeline.engine.placement import Placement
from pipeline.engine.step import Outcome, Step
from pipeline.monitoring import graphs


class Gradient(NamedTuple):
    """The averaged gradient of one step, by parameter, and the loss it is of."""

    loss: float
    by_parameter: dict[str, np.ndarray]


class Trainer:
    """The towers of a run and the function that trains them; which step it is, the caller says."""

    def __init__(self, assembly: Assembly, values: state.Values):
        config = assembly.config
        self.towers = assembly.towers(values)
        self.placement: Placement | None = None  # known after the first `advance`
        self._plan = assembly.plan
        self._parameter_names = [v.path for v in assembly.model.trainable_variables]
        self._batches = Batches(assembly.plan, assembly.splits.train, config.augment, config.augment_steps)
        self._step = Step(config, assembly.plan, assembly.model, self.towers, assembly.cluster)
        self._train = self._step.loop()
        self._gradient = tf.function(self._gradient_of, autograph=False)
        self._iterators: list[tf.data.Iterator] = []
        self._reached = -1  # the step that the iterators are at

    def advance(self, step: int, last: int, asked: bool = False) -> Outcome:
        """Computes steps `step` to `last` - 1 and returns the last one's outcome as NumPy scalars.

        Where a worker `asked` to stop, that is the first one's, on every worker. Raises BadDataError for an example
        that cannot be read, UsageError where memory or a kernel is lacking.
        """
        with self._explained(step, last):
            return self._advance(step, last, asked)

    def _advance(self, step: int, last: int, asked: bool) -> Outcome:
        if step != self._reached:
            datasets = [self._batches.dataset(step, shards) for shards in self._shards()]
            self._iterators = self.towers.iterators(datasets)
        if self.placement is None:
            with placement.collect() as collected:
                outcome = self._call(step, last, asked)
            variables = [v for replica in self.towers.replicas for v in replica.variables.values()]
            self.placement = placement.read(collected.graphs, variables)
        else:
            outcome = self._call(step, last, asked)
        self._reached = int(outcome.next_step)
        return outcome

    def gradient(self, step: int) -> Gradient:
        """The averaged gradient that `step` would apply to the parameters as they are now."""
        with self._explained(step, step + 1):
            loss, gradients = self._gradient(tf.constant(step, tf.int64))
        named = zip(self._parameter_names, gradients, strict=True)
        return Gradient(float(loss), {name: gradient.numpy() for name, gradient in named})

    def graph(self) -> tf.compat.v1.GraphDef:
        """One step as TensorBoard draws it: a box for each tower and one for the host, with devices and shapes."""
        first = tf.constant(0, tf.int64)
        one = tf.function(lambda: self._step.one(self._batches_at(first), first), autograph=False)
        return graphs.readable(one.get_concrete_function().graph.as_graph_def(add_shapes=True))

    def _shards(self) -> list[range]:
        return [self.towers.shards_of(tower, self._plan.grad_shards) for tower in range(len(self.towers))]

    def _batches_at(self, step: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        with self.towers.on_host(), tf.name_scope("input"):
            return [self._batches.at(step, shards) for shards in self._shards()]

    def _gradient_of(self, step: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        sums = self._step.gradient(self._batches_at(step), step).sums
        return sums.loss, sums.gradients

    @contextlib.contextmanager
    def _explained(self, step: int, last: int) -> Iterator[None]:
        def find_broken() -> None:
            with self.towers.on_host():
                self._batches.find_broken(step, last)

        with failures.explained("global_batch", find_broken):
            yield

    def _call(self, step: int, last: int, asked: bool) -> Outcome:
        steps = (tf.constant(step, tf.int64), tf.constant(last, tf.int64))
        outcome = self._train(self._iterators, *steps, tf.constant(float(asked)))
        return Outcome(*(value.numpy() for value in outcome))
