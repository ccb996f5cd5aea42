"""Exact evaluation: every example of a split counts once, and the result does not depend on the number of towers."""

import functools
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from pipeline.engine import chunked_map, failures, forward, losses, packing, verdicts
from pipeline.engine.tally import Scores, Tally
from pipeline.engine.towers import Towers
from pipeline.engine.verdicts import Verdicts
from pipeline.sources.base import Source
from pipeline.sources.decoding import find_broken

Gather = Callable[[bytes], list[bytes]]


class Evaluator:
    """Slices a split into fixed shards, which the towers of all workers take in turn, and adds their counts in order.

    The shards, and so the bits, do not depend on the number of towers. Every worker counts and adds on its host.
    """

    def __init__(
        self,
        model: keras.Model,
        towers: Towers,
        shard_batch: int,
        gather: Gather = lambda own: [own],
        ema: bool = False,
        multi_label: bool = False,
    ):
        """gather: returns every worker's bytes on each worker, in order; by default there is one worker.

        ema: the moving averages are evaluated. multi_label: examples have any number of labels.
        """
        self._ema, self._loss = ema, losses.plain(multi_label)
        self._model, self._towers, self._shard_batch, self._gather = model, towers, shard_batch, gather
        self._num_towers = towers.topology.total_towers
        self._judge = tf.function(self._judge_round, autograph=False)

    def __call__(self, source: Source, stop: Callable[[], bool] = lambda: False) -> Scores | None:
        """The scores of a split, or None as soon as `stop` returns True."""
        tally = self.tally(source, stop)
        return None if tally is None else tally.scores

    def tally(self, source: Source, stop: Callable[[], bool] = lambda: False) -> Tally | None:
        """The tally of a split, or None as soon as `stop` returns True.

        All workers must call it. Where `stop` returns True on one of them, all get None.
        """
        own = self._verdicts(source, stop)
        parts = self._gather(b"" if own is None else packing.pack(own._asdict()))
        if not all(parts):
            return None
        workers = [Verdicts(**packing.unpack(part)) for part in parts]
        return Tally.of(Verdicts(*map(_in_order, zip(*workers, strict=True))), len(source), len(source.class_names))

    def _verdicts(self, source: Source, stop: Callable[[], bool]) -> Verdicts | None:
        """The verdicts of this worker's towers on their part of a split: fields are [num_rounds, num_towers, ...]."""
        num_rounds = -(-len(source) // (self._shard_batch * self._num_towers))
        datasets = [self._dataset(source, num_rounds, tower) for tower in range(len(self._towers))]
        iterators = self._towers.iterators(datasets)
        rounds = []
        for number in range(num_rounds):
            if stop():
                return None
            with failures.explained("eval_batch", functools.partial(self._find_broken, source, number)):
                rounds.append(Verdicts(*(value.numpy() for value in self._judge(iterators))))
        return Verdicts(*map(np.stack, zip(*rounds, strict=True)))

    def _find_broken(self, source: Source, number: int) -> None:
        """Raises BadDataError naming the first example of a round that cannot be decoded."""
        examples = self._shard_batch * self._num_towers
        with self._towers.on_host():
            find_broken(source, range(number * examples, min((number + 1) * examples, len(source))))

    def _dataset(self, source: Source, rounds: int, tower: int) -> tf.data.Dataset:
        """One tower's shards: images [shard_batch, h, w, c], labels, and a mask, 1 for examples and 0 for padding."""
        length, shard_batch, rank = len(source), self._shard_batch, self._towers.topology.rank(tower)

        def chunk(number: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            positions = (number * self._num_towers + rank) * shard_batch + numbers
            raw, labels = source.fetch(tf.minimum(positions, length - 1))
            images = tf.ensure_shape(source.decode(raw), [*positions.shape, *source.image_shape])
            return (
                images,
                tf.ensure_shape(labels, [*positions.shape, *labels.shape[1:]]),
                tf.cast(positions < length, tf.int32),
            )

        return chunked_map.dataset(0, rounds, shard_batch, math.prod(source.image_shape), chunk)

    def _judge_round(self, iterators: Sequence[tf.data.Iterator]) -> Verdicts:
        """The verdicts on the next shard of every tower."""
        shards = []
        for tower, iterator in enumerate(iterators):
            parameters, statistics = self._towers.read(tower, self._ema)
            images, labels, mask = self._towers.next_of(tower, iterator)
            with self._towers.on(tower):
                logits = forward.evaluate(self._model, parameters, statistics, images)
                shards.append(verdicts.judge(self._loss, logits, labels, tf.cast(mask, tf.float32)))
        with self._towers.on_host():
            return Verdicts(*map(tf.stack, zip(*shards, strict=True)))


def _in_order(workers: Sequence[np.ndarray]) -> np.ndarray:
    """[num_rounds, num_towers, ...] of every worker -> [shards, ...] in the order of the split."""
    rounds = np.stack(workers, axis=1)  # [num_rounds, num_workers, num_towers, ...]
    return rounds.reshape(math.prod(rounds.shape[:3]), *rounds.shape[3:])


def probabilities(
    model: keras.Model, towers: Towers, images: np.ndarray, batch: int, multi_label: bool = False
) -> np.ndarray:
    """The probabilities of each image's classes, on the first tower: [n, h, w, c] uint8 -> [n, classes] float32.

    The last batch is padded with zeros, so that all batches have one shape.
    """
    loss = losses.plain(multi_label)

    @tf.function(autograph=False)
    def of_batch(part: tf.Tensor) -> tf.Tensor:
        parameters, statistics = towers.read(0)
        with towers.on(0):
            return forward.probabilities(model, parameters, statistics, part, loss)

    padded = np.concatenate([images, np.zeros((-len(images) % batch, *images.shape[1:]), np.uint8)])
    with failures.explained("eval_batch"):
        rows = [of_batch(tf.constant(padded[i : i + batch])).numpy() for i in range(0, len(padded), batch)]
    return np.concatenate(rows)[: len(images)]
