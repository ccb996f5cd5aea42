"""What metrics need of a model's outputs beside verdicts: kept by the towers, brought together over the workers."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.engine import packing
from pipeline.engine.losses import Loss
from pipeline.metrics import names
from pipeline.metrics.ranking import Ranking, rank_class

BLOCK_BYTES = 1 << 25  # of the scores that are brought together at once


class Kept(NamedTuple):
    """The outputs that are kept of each example."""

    ranks: bool = False
    probabilities: bool = False

    @classmethod
    def of(cls, metrics: names.Names) -> "Kept":
        """What these metrics need."""
        return cls(any(map(names.top_k, metrics)), any(name in metrics for name in names.OF_SCORES))


class Outputs(NamedTuple):
    """The outputs for one shard, or with a leading dimension for those of the towers, padding included.

    What is not kept is of length 0.
    """

    ranks: np.ndarray  # [shard_batch] int32: the number of classes that stand before the label
    probabilities: np.ndarray  # [shard_batch, classes] float32


def keep(kept: Kept, loss: Loss, logits: tf.Tensor, labels: tf.Tensor) -> Outputs:
    """The outputs that are kept, on a tower: logits [shard_batch, classes], labels as the loss takes them.

    Examples of several labels have no ranks.
    """
    places = ranks(logits, labels) if kept.ranks else tf.zeros([0], tf.int32)
    return Outputs(places, loss.probabilities(logits) if kept.probabilities else tf.zeros([0, 0]))


def ranks(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The number of classes that stand before each label: [n, classes] float32, [n] int32 -> [n] int32.

    Of equal logits, that of the lower class stands first. So the label is among the K likeliest classes where its rank
    is below K. With a NaN among the logits it is never. Probabilities would not do: they are rounded to 0 where logits
    still differ.
    """
    own = tf.gather(logits, labels, batch_dims=1)[:, None]
    # Of 64 bits and floats: GPUs compute with whole numbers of 32 bits on the host.
    lower = tf.constant(np.arange(logits.shape[1]), tf.int64)[None] < tf.cast(labels, tf.int64)[:, None]
    before = (logits > own) | ((logits == own) & lower) | tf.reduce_any(tf.math.is_nan(logits), axis=1, keepdims=True)
    return tf.cast(tf.reduce_sum(tf.cast(before, tf.float32), axis=1), tf.int32)


def rankings(
    rounds: Sequence[np.ndarray],
    is_of_class: Callable[[int], np.ndarray],
    num_examples: int,
    gather: Callable[[bytes], list[bytes]],
) -> list[Ranking]:
    """The ranking of each class, from the probabilities of all workers. All workers must call it.

    rounds: of this worker, [num_towers, shard_batch, classes] float32 each. is_of_class: of a class, which examples of
    the split are, [examples] bool. Scores are brought together class by class, in blocks: so a worker holds its own
    examples' alone, and one block.
    """
    classes = rounds[0].shape[-1]
    width = max(1, BLOCK_BYTES // (4 * num_examples))
    found: list[Ranking] = []
    for first in range(0, classes, width):
        own = np.stack([probabilities[..., first : first + width] for probabilities in rounds])
        parts = [packing.unpack(part)["own"] for part in gather(packing.pack({"own": own}))]
        block = in_order(parts).reshape(-1, own.shape[-1])[:num_examples]
        found += [rank_class(is_of_class(first + i), block[:, i]) for i in range(block.shape[1])]
    return found


def in_order(workers: Sequence[np.ndarray]) -> np.ndarray:
    """[num_rounds, num_towers, ...] of every worker -> [shards, ...] in the order of the split."""
    rounds = np.stack(workers, axis=1)  # [num_rounds, num_workers, num_towers, ...]
    return rounds.reshape(math.prod(rounds.shape[:3]), *rounds.shape[3:])
