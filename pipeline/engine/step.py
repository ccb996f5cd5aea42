"""The way of the data through one step, and the loop of steps that is one TensorFlow function."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from pipeline.config import Config, parse_steps
from pipeline.engine import averaging, forward, loss_scale, optimizers, reduce, schedules
from pipeline.engine.plan import Plan
from pipeline.engine.towers import Placed, Towers
from pipeline.models.variables import seeds_of
from pipeline.workers.cluster import Cluster, Total


class Outcome(NamedTuple):
    """The last step that was computed."""

    next_step: tf.Tensor  # [] int64: the global step reached; of a diverged step, that step itself
    diverged: tf.Tensor  # [] bool
    stop: tf.Tensor  # [] bool: whether a worker asked to stop after this step
    loss: tf.Tensor  # [] float32, mean over the global batch
    correct: tf.Tensor  # [] int32
    gradient_norm: tf.Tensor  # [] float32, before clipping
    learning_rate: tf.Tensor  # [] float32
    input_seconds: tf.Tensor  # [] float64: what all steps of a call waited for their examples
    reduction_seconds: tf.Tensor  # [] float64: that the first tower waited for the other workers' gradients


class Step:
    """Towers, model and optimizer bound together; what it computes depends on the step alone."""

    def __init__(self, config: Config, plan: Plan, model: keras.Model, towers: Towers, cluster: Cluster):
        self._config, self._plan, self._model, self._towers, self._cluster = config, plan, model, towers, cluster
        self._optimizer = optimizers.make(config)

    def gradient(self, batches, step, asked=0.0) -> Total:
        """Sums over the global batch, on the first tower: shards on their towers, one fixed tree, no loss scale left.

        batches: for every tower of this worker, its images [shards, shard_batch, h, w, c] and labels
        [shards, shard_batch]. asked: [] float32, 1 if this worker asks to stop.
        """
        seeds, factor = self._before_towers(step)
        leaves = []
        for tower, (images, labels) in enumerate(batches):
            parameters, statistics = self._towers.read(tower)
            with self._towers.on(tower):
                for i, shard in enumerate(self._towers.shards_of(tower, self._plan.grad_shards)):
                    with tf.name_scope(f"shard_{shard}"):
                        # fmt: off
                        sums = forward.shard_sums(
                            self._model, parameters, statistics, [layer[shard] for layer in seeds],
                            images[i], labels[i], loss_factor=factor, label_smoothing=self._config.label_smoothing)
                        # fmt: on
                    leaves.append(Placed(tower, sums))
        total = self._cluster.add(reduce.tree(leaves, self._towers.add).sums, step, asked)
        return total._replace(sums=self._unscaled(total.sums))

    def _before_towers(self, step) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """For every random layer its shards' seeds; and what every example's loss is multiplied by."""
        with self._towers.on_host(), tf.name_scope("seeds"):
            layers = len(seeds_of(self._model))
            seeds = [tf.unstack(s) for s in tf.unstack(self._plan.dropout_seeds(step, layers))] if layers else []
            factor = tf.constant(1 / self._plan.global_batch)
            scale = loss_scale.read(self._towers.replicas[0].variables)
            return seeds, factor if scale is None else factor * scale

    def _unscaled(self, total: forward.ShardSums) -> forward.ShardSums:
        """The sums without the loss scale, on the first tower."""
        scale = loss_scale.read(self._towers.replicas[0].variables)
        if scale is None:
            return total
        with self._towers.on(0):
            return total._replace(loss=total.loss / scale, gradients=[g / scale for g in total.gradients])

    def apply(self, total: forward.ShardSums, norm: tf.Tensor, now: optimizers.Now, finite: tf.Tensor) -> None:
        """Updates every replica by the same numbers; a step that is not finite leaves all as they are."""
        with self._towers.on(0):
            gradients = optimizers.clip(total.gradients, norm, self._config.clip_norm)
        for replica in self._towers.replicas:
            with self._towers.at(replica), tf.name_scope("apply"):
                tf.cond(finite, lambda r=replica: self._update(r, gradients, total.statistics, now), tf.no_op)
                if self._config.precision == "float16":
                    loss_scale.update(replica.variables, finite)

    def _update(self, replica, gradients, statistics, now) -> tf.Operation:
        slots = replica.slots(self._optimizer.slots)
        for variable, own_slots, gradient in zip(replica.parameters, slots, gradients, strict=True):
            self._optimizer.apply(variable, own_slots, gradient, now)
        for variable, total in zip(replica.statistics, statistics, strict=True):
            variable.assign(total / self._plan.grad_shards)
        return tf.no_op()

    def _average(self, step, diverged: tf.Tensor) -> None:
        """Takes what a step has left into the mean that --average asks for; a step of float16 that was skipped, too."""
        if not self._config.average:
            return
        window = parse_steps("average", self._config.average)
        for replica in self._towers.replicas:
            with self._towers.at(replica), tf.name_scope("average"):
                parameters, averages = replica.parameters, replica.averages
                tf.cond(diverged, tf.no_op, functools.partial(averaging.update, parameters, averages, window, step))

    def one(self, batches, step, asked=0.0) -> Outcome:
        """Computes and applies one step."""
        with self._towers.on_host(), tf.name_scope("learning_rate"):
            now = self._optimizer.at(schedules.learning_rate(self._config, step), step)
        total = self.gradient(batches, step, asked)
        sums = total.sums
        with self._towers.on(0):
            norm = optimizers.norm(sums.gradients)
            finite = tf.math.is_finite(norm) & tf.math.is_finite(sums.loss)
        scale = loss_scale.read(self._towers.replicas[0].variables)
        self.apply(sums, norm, now, finite)
        with self._towers.on_host():
            diverged = ~finite if scale is None else ~finite & (scale <= loss_scale.LEAST)
        self._average(step, diverged)
        with self._towers.on_host():
            reached, told = step + tf.cast(~diverged, tf.int64), (sums.loss, sums.correct, norm, now.rate)
            return Outcome(reached, diverged, total.asking > 0, *told, tf.zeros([], tf.float64), total.seconds)

    def loop(self) -> Callable[..., Outcome]:
        """The function train(iterators, first, last, asked): steps first, first + 1, ... last - 1.

        Ends where one diverges, and, on all workers, after the first step if one of them asked to stop.
        """

        @tf.function(autograph=False)
        def train(iterators, first, last, asked) -> Outcome:
            def more(outcome: Outcome):
                return (outcome.next_step < last) & ~outcome.diverged & ~outcome.stop

            def body(outcome: Outcome):
                batches, seconds = self._towers.next_of_all(iterators)
                one = self.one(batches, outcome.next_step, asked)
                reduction = outcome.reduction_seconds + one.reduction_seconds
                return (one._replace(input_seconds=outcome.input_seconds + seconds, reduction_seconds=reduction),)

            with self._towers.on_host():
                zero, no_time, no = tf.zeros([]), tf.zeros([], tf.float64), tf.constant(False)
                start = Outcome(first, no, no, zero, tf.constant(0), zero, zero, no_time, no_time)
                return tf.while_loop(more, body, (start,), parallel_iterations=1)[0]

        return train
