"""Exact evaluation: every example of a split counted once, with the same numbers on any number of towers."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipeline import chunks, failures, forward
from pipeline.sources.base import Source, find_broken
from pipeline.towers import Towers


class Scores(NamedTuple):
    """What a split scored."""

    loss: float  # mean over the examples
    accuracy: float  # share of the examples, in [0, 1]
    examples: int


class Evaluator:
    """Slices a split into fixed shards, lets each tower take every num_towers-th one, and adds them up in order.

    The shards, and so the bits, do not depend on the number of towers. Sums over shards are made in float64 on
    the host.
    """

    def __init__(self, model: keras.Model, towers: Towers, shard_batch: int):
        self._model, self._towers, self._shard_batch = model, towers, shard_batch
        self._score = tf.function(self._score_round, autograph=False)

    def __call__(self, source: Source, stop: Callable[[], bool] = lambda: False) -> Scores | None:
        """The scores of a split, or None as soon as `stop` says so."""
        rounds = -(-len(source) // (self._shard_batch * len(self._towers)))
        datasets = [self._dataset(source, rounds, tower) for tower in range(len(self._towers))]
        iterators = self._towers.iterators(datasets)
        losses, correct = [], []
        for number in range(rounds):
            if stop():
                return None
            with failures.explained("eval_batch", functools.partial(self._find_broken, source, number)):
                loss, hits = self._score(iterators)
            losses.append(loss.numpy())
            correct.append(hits.numpy())
        examples = len(source)
        total = sum(np.concatenate(losses).astype(np.float64).tolist())
        return Scores(total / examples, int(np.concatenate(correct).sum()) / examples, examples)

    def _find_broken(self, source: Source, number: int) -> None:
        """Raises BadDataError naming the first example of a round that cannot be decoded."""
        examples = self._shard_batch * len(self._towers)
        with self._towers.on_host():
            find_broken(source, range(number * examples, min((number + 1) * examples, len(source))))

    def _dataset(self, source: Source, rounds: int, tower: int) -> tf.data.Dataset:
        """One tower's shards: images [shard_batch, h, w, c], labels, and 1 for an example or 0 for padding."""
        length, shard_batch, num_towers = len(source), self._shard_batch, len(self._towers)

        def of(number: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            positions = (number * num_towers + tower) * shard_batch + numbers
            raw, labels = source.fetch(tf.minimum(positions, length - 1))
            images = tf.ensure_shape(source.decode(raw), [*positions.shape, *source.image_shape])
            return images, tf.ensure_shape(labels, positions.shape), tf.cast(positions < length, tf.int32)

        return chunks.dataset(0, rounds, shard_batch, math.prod(source.image_shape), of)

    def _score_round(self, iterators) -> tuple[tf.Tensor, tf.Tensor]:
        """Loss sums and correct counts of the next shard of every tower: [num_towers] each."""
        losses, correct = [], []
        for tower, iterator in enumerate(iterators):
            parameters, statistics = self._towers.read(tower)
            images, labels, mask = self._towers.next_of(tower, iterator)
            with self._towers.on(tower):
                logits = forward.evaluate(self._model, parameters, statistics, images)
                losses.append(tf.reduce_sum(forward.cross_entropy(logits, labels) * tf.cast(mask, tf.float32)))
                correct.append(tf.reduce_sum(forward.hits(logits, labels) * mask))
        with self._towers.on_host():
            return tf.stack(losses), tf.stack(correct)


def probabilities(model: keras.Model, towers: Towers, images: np.ndarray, batch: int) -> np.ndarray:
    """The softmax of each image's logits, on the first tower: [n, h, w, c] uint8 -> [n, classes] float32.

    The last batch is filled up with zeros, so that every image is computed in the same shape.
    """

    @tf.function(autograph=False)
    def softmax(part):
        parameters, statistics = towers.read(0)
        with towers.on(0):
            return tf.nn.softmax(forward.evaluate(model, parameters, statistics, part))

    padded = np.concatenate([images, np.zeros((-len(images) % batch, *images.shape[1:]), np.uint8)])
    with failures.explained("eval_batch"):
        rows = [softmax(tf.constant(padded[i : i + batch])).numpy() for i in range(0, len(padded), batch)]
    return np.concatenate(rows)[: len(images)]
