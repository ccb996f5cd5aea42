"""The way of the data through one step, and the loop of steps that is one TensorFlow function."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from pipeline import forward, loss_scale, optimizers, reduce, schedules
from pipeline.config import Config
from pipeline.models.variables import seeds_of
from pipeline.plan import Plan
from pipeline.towers import Placed, Towers


class Outcome(NamedTuple):
    """The last step that was computed."""

    next_step: tf.Tensor  # [] int64: the global step reached; of a diverged step, that step itself
    diverged: tf.Tensor  # [] bool
    loss: tf.Tensor  # [] float32, mean over the global batch
    correct: tf.Tensor  # [] int32
    gradient_norm: tf.Tensor  # [] float32, before clipping
    learning_rate: tf.Tensor  # [] float32
    input_seconds: tf.Tensor  # [] float64: what all steps of a call waited for their examples


class Step:
    """Towers, model and optimizer bound together; what it computes depends on the step alone."""

    def __init__(self, config: Config, plan: Plan, model: keras.Model, towers: Towers):
        self._config, self._plan, self._model, self._towers = config, plan, model, towers
        self._optimizer = optimizers.make(config)

    def gradient(self, batches, step) -> forward.ShardSums:
        """Sums over the global batch, on the first tower: shards on their towers, one fixed tree, no loss scale left.

        batches: for every tower, its images [shards, shard_batch, h, w, c] and labels [shards, shard_batch].
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
        return self._unscaled(reduce.tree(leaves, self._towers.add).sums)

    def _before_towers(self, step) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """For every random layer its shards' seeds; and what every example's loss is multiplied by."""
        with self._towers.on_host():
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

    def apply(self, total: forward.ShardSums, norm: tf.Tensor, rate: tf.Tensor, step, finite: tf.Tensor) -> None:
        """Updates every replica by the same numbers; a step that is not finite leaves all as they are."""
        with self._towers.on(0):
            gradients = optimizers.clip(total.gradients, norm, self._config.clip_norm)
        for replica in self._towers.replicas:
            with self._towers.at(replica), tf.name_scope("apply"):
                tf.cond(finite, lambda r=replica: self._update(r, gradients, total.statistics, rate, step), tf.no_op)
                if self._config.precision == "float16":
                    loss_scale.update(replica.variables, finite)

    def _update(self, replica, gradients, statistics, rate, step) -> tf.Operation:
        slots = replica.slots(self._optimizer.slots)
        for variable, own_slots, gradient in zip(replica.parameters, slots, gradients, strict=True):
            self._optimizer.apply(variable, own_slots, gradient, rate, step)
        for variable, total in zip(replica.statistics, statistics, strict=True):
            variable.assign(total / self._plan.grad_shards)
        return tf.no_op()

    def one(self, batches, step) -> Outcome:
        """Computes and applies one step."""
        with self._towers.on_host():
            rate = schedules.learning_rate(self._config, step)
        total = self.gradient(batches, step)
        with self._towers.on(0):
            norm = optimizers.norm(total.gradients)
            finite = tf.math.is_finite(norm) & tf.math.is_finite(total.loss)
        scale = loss_scale.read(self._towers.replicas[0].variables)
        self.apply(total, norm, rate, step, finite)
        with self._towers.on_host():
            diverged = ~finite if scale is None else ~finite & (scale <= loss_scale.LEAST)
            reached, waited = step + tf.cast(~diverged, tf.int64), tf.zeros([], tf.float64)
            return Outcome(reached, diverged, total.loss, total.correct, norm, rate, waited)

    def loop(self) -> Callable[..., Outcome]:
        """The function train(iterators, first, last): steps first, first + 1, ... last - 1; ends where one diverges."""

        @tf.function(autograph=False)
        def train(iterators, first, last) -> Outcome:
            def more(outcome: Outcome):
                return (outcome.next_step < last) & ~outcome.diverged

            def body(outcome: Outcome):
                batches, seconds = self._towers.next_of_all(iterators)
                one = self.one(batches, outcome.next_step)
                return (one._replace(input_seconds=outcome.input_seconds + seconds),)

            with self._towers.on_host():
                zero, no_time = tf.zeros([]), tf.zeros([], tf.float64)
                start = Outcome(first, tf.constant(False), zero, tf.constant(0), zero, zero, no_time)
                return tf.while_loop(more, body, (start,), parallel_iterations=1)[0]

        return train
