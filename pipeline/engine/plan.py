"""The plan: the examples and the random seeds of every shard of every step."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from pipeline.engine.sampling import Balanced
from pipeline.errors import UsageError
from pipeline.random.keys import Purpose, fold_in, permutation


class Rollback(NamedTuple):
    """A return from a step that diverged to an earlier one, from which other examples follow."""

    step: int  # the one returned to
    diverged: int  # the one that diverged, at least `step`

    @property
    def skipped(self) -> int:
        """The steps whose examples are left out: those from `step` to `diverged`."""
        return self.diverged + 1 - self.step


@dataclasses.dataclass(frozen=True)
class Plan:
    """A pure function from a step to the examples of its shards and their seeds.

    Step s owns positions s * global_batch and on; after rollbacks to steps up to s, those that as many steps later
    would own as the rollbacks skipped in all.
    """

    seed: int
    global_batch: int
    grad_shards: int
    num_examples: int
    rollbacks: tuple[Rollback, ...] = ()
    sampling: Balanced | None = None  # None: every example once an epoch

    def __post_init__(self) -> None:
        if self.num_examples < 1:
            raise UsageError("the training split has 0 examples; at least 1 is needed: lower --validation_fraction")
        assert self.global_batch % self.grad_shards == 0, "Config.validate lets no such configuration pass"

    @property
    def shard_batch(self) -> int:
        """Examples in one shard."""
        return self.global_batch // self.grad_shards

    def positions(self, step: tf.Tensor | int, shards: range) -> tf.Tensor:
        """Positions of consecutive shards of a step: [len(shards) * shard_batch] int64."""
        return self._positions(step, shards.start, len(shards))

    def positions_of(self, step: tf.Tensor | int, shard: tf.Tensor) -> tf.Tensor:
        """Positions of one shard, [] int64, of a step: [shard_batch] int64."""
        return self._positions(step, shard, 1)

    def _positions(self, step: tf.Tensor | int, first_shard: tf.Tensor | int, num_shards: int) -> tf.Tensor:
        step = tf.cast(step, tf.int64)
        skipped = [
            tf.where(step >= rollback.step, tf.constant(rollback.skipped, tf.int64), 0) for rollback in self.rollbacks
        ]
        first = sum(skipped, step) * self.global_batch + first_shard * self.shard_batch
        return first + tf.range(num_shards * self.shard_batch, dtype=tf.int64)

    def indices(self, positions: tf.Tensor) -> tf.Tensor:
        """The example at each position: [n] int64 -> [n] int64."""
        if self.sampling:
            return self.sampling.indices(self.seed, positions)
        return permutation(self.seed, positions, self.num_examples)

    def epochs(self, positions: tf.Tensor) -> tf.Tensor:
        """The epoch of each position, from 0 on: [n] int64 -> [n] int64."""
        return positions // (self.sampling.epoch_size if self.sampling else self.num_examples)

    def dropout_seeds(self, step: tf.Tensor | int, num_layers: int) -> tf.Tensor:
        """The seed of every random layer in every shard: [num_layers, grad_shards, 2] int64, below 2**31."""
        layers = tf.range(num_layers)[:, None]
        shards = tf.range(self.grad_shards)[None, :]
        keys = fold_in(self.seed, Purpose.DROPOUT, step, layers, shards)
        # Keras casts seeds to int32; 31 bits of each half survive that unchanged.
        halves = tf.cast(tf.bitcast(keys, tf.uint32), tf.int64)
        return tf.bitwise.bitwise_and(halves, tf.constant(0x7FFFFFFF, tf.int64))
