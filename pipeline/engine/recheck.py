"""Shards that are computed a second time on another tower, and fingerprints of the bits of both computations."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.engine.batches import Batches
from pipeline.engine.checks import Check
from pipeline.engine.forward import Compute, ShardSums, Tensors
from pipeline.engine.plan import Plan
from pipeline.engine.topology import Topology
from pipeline.engine.towers import Placed, Towers

NO_SHARD = -1


class Asked(NamedTuple):
    """The shards of each of this worker's towers in a rechecked step, by tower; NO_SHARD for none."""

    own: tf.Tensor  # [towers] int64: the one of its own shards whose bits are to be known
    again: tf.Tensor  # [towers] int64: the one that it computes for another tower

    @classmethod
    def of(cls, todo: Sequence[Check], topology: Topology) -> "Asked":
        """This worker's part of the checks of a step."""
        ranks = [topology.rank(tower) for tower in range(topology.num_towers)]
        own, again = {c.owner: c.shard for c in todo}, {c.checker: c.shard for c in todo}
        return cls(*(tf.constant([of.get(rank, NO_SHARD) for rank in ranks], tf.int64) for of in (own, again)))


class Seen(NamedTuple):
    """The fingerprints of `Asked`, each [towers, tensors] int64, with 0 for NO_SHARD."""

    own: tf.Tensor
    again: tf.Tensor
    factor: tf.Tensor  # [] float32: the factor of every example's loss in that step


class Evidence(NamedTuple):
    """What was seen of a rechecked step, as NumPy arrays, and the values that it began with."""

    before: tuple[list[tf.Tensor], list[tf.Tensor]]  # the parameters and statistics
    own: np.ndarray  # as in `Seen`, with the next two
    again: np.ndarray
    factor: np.ndarray


def fingerprints(sums: ShardSums) -> tf.Tensor:
    """A hash of the bits of each tensor, [tensors] int64, computed by the device in force, which must be the host."""
    tensors = tf.nest.flatten(sums)
    hashes = [tf.raw_ops.Fingerprint(data=tf.reshape(tensor, [1, -1]), method="farmhash64") for tensor in tensors]
    return tf.bitcast(tf.concat(hashes, 0), tf.int64)


class Recheck:
    """Parts of TensorFlow functions that compute a shard again."""

    def __init__(self, towers: Towers, plan: Plan, batches: Batches, compute: Compute, random_layers: int):
        self._towers, self._plan, self._batches, self._compute = towers, plan, batches, compute
        self._random_layers = random_layers
        self._alone = tf.function(self._alone_traced, autograph=False)

    def see(self, leaves: Sequence[Placed], step: tf.Tensor, factor: tf.Tensor, asked: Asked) -> Seen:
        """Looks at the leaves of a step's tree, and computes what is asked for beside the rest of the step."""
        towers = range(len(self._towers))
        own = [self._of_own([leaf.sums for leaf in leaves if leaf.tower == k], k, asked.own[k]) for k in towers]
        again = [self._again([leaf.sums for leaf in leaves if leaf.tower == k], k, step, factor, asked) for k in towers]
        with self._towers.on_host():
            return Seen(tf.stack(own), tf.stack(again), factor)

    def alone(
        self, tower: int, values: tuple[Tensors, Tensors], step: int, shard: int, factor: tf.Tensor
    ) -> np.ndarray:
        """The fingerprints of a shard of any step, computed by itself: [tensors] int64.

        values: the parameters and statistics at the step.
        """
        numbers = (tf.constant(number, tf.int64) for number in (step, shard))
        return self._alone(tower, values, *numbers, factor).numpy()

    def _of_own(self, own: Sequence[ShardSums], tower: int, wanted: tf.Tensor) -> tf.Tensor:
        """The fingerprints of the wanted one of a tower's shards."""
        shards = self._towers.shards_of(tower, self._plan.grad_shards)
        with self._towers.on_host(), tf.name_scope("recheck"):
            none = tf.zeros([len(tf.nest.flatten(own[0]))], tf.int64)
            found = [
                tf.cond(tf.equal(wanted, shard), lambda sums=sums: self._on_host(sums), lambda: none)
                for shard, sums in zip(shards, own, strict=True)
            ]
            return tf.add_n(found)

    def _on_host(self, sums: ShardSums) -> tf.Tensor:
        with self._towers.on_host():
            return fingerprints(sums)

    def _again(
        self, own: Sequence[ShardSums], tower: int, step: tf.Tensor, factor: tf.Tensor, asked: Asked
    ) -> tf.Tensor:
        """The fingerprints of the shard that a tower computes again, once it has computed its own."""
        values, shard = self._towers.read(tower), asked.again[tower]
        with self._towers.on_host(), tf.name_scope("recheck"):
            wanted = shard != NO_SHARD
            none = tf.zeros([len(tf.nest.flatten(own[0]))], tf.int64)
            images, labels = tf.cond(wanted, lambda: self._batch(step, shard), self._batches.none_of_shard)
        with self._towers.on(tower), tf.control_dependencies(tf.nest.flatten(own)):
            images = tf.identity(images)  # so that no more is in memory at a time than in any other step
        with self._towers.on_host():
            return tf.cond(
                wanted, lambda: self._computed(tower, values, step, shard, images, labels, factor), lambda: none
            )

    def _batch(self, step: tf.Tensor, shard: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with self._towers.on_host():
            return self._batches.of_shard(step, shard)

    def _computed(
        self,
        tower: int,
        values: tuple[Tensors, Tensors],
        step: tf.Tensor,
        shard: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        factor: tf.Tensor,
    ) -> tf.Tensor:
        with self._towers.on_host():
            layers = self._random_layers
            seeds = tf.unstack(tf.gather(self._plan.dropout_seeds(step, layers), shard, axis=1)) if layers else []
        with self._towers.on(tower), tf.name_scope("recheck"):
            sums = self._compute(*values, seeds, images, labels, factor)
        return self._on_host(sums)

    def _alone_traced(
        self, tower: int, values: tuple[Tensors, Tensors], step: tf.Tensor, shard: tf.Tensor, factor: tf.Tensor
    ) -> tf.Tensor:
        return self._computed(tower, values, step, shard, *self._batch(step, shard), factor)
