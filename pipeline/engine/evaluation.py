"""Exact evaluation: every example of a split counts once, and the result does not depend on the number of towers."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipeline.engine import chunked_map, failures, forward, losses, measuring, outputs, packing, verdicts
from pipeline.engine.outputs import Kept, Outputs
from pipeline.engine.tally import Scores, Tally
from pipeline.engine.towers import Towers
from pipeline.engine.verdicts import Verdicts
from pipeline.metrics import names
from pipeline.metrics.ranking import Ranking
from pipeline.sources.base import Source
from pipeline.sources.decoding import find_broken

Gather = Callable[[bytes], list[bytes]]

_MOST_EXAMPLES = 500  # in a tower's batch: more are no faster
_MOST_NUMBERS = 32 * 224 * 224 * 3  # in the images of a tower's batch: memory holds many times as many activations


class Round(NamedTuple):
    """The judgements on the next shards of the towers, padding included."""

    verdicts: Verdicts
    outputs: Outputs


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
        metrics: names.Names = (),
    ):
        """gather: returns every worker's bytes on each worker, in order; by default there is one worker.

        ema: the moving averages are evaluated. multi_label: examples have any number of labels.
        metrics: what a tally holds beside loss and accuracy, as `names.settled` gives it.
        """
        self.multi_label = multi_label
        self._ema, self._loss = ema, losses.plain(multi_label)
        self._metrics, self._kept = metrics, Kept.of(metrics)
        self._model, self._towers, self._shard_batch, self._gather = model, towers, shard_batch, gather
        self._num_towers = towers.topology.total_towers
        self._judge = tf.function(self._judge_round, autograph=False)
        self._latest: tuple[Source, list[tf.data.Dataset]] | None = None

    def __call__(self, source: Source, stop: Callable[[], bool] = lambda: False) -> Scores | None:
        """The scores of a split, or None as soon as `stop` returns True."""
        tally = self.tally(source, stop)
        return None if tally is None else tally.scores

    def tally(self, source: Source, stop: Callable[[], bool] = lambda: False) -> Tally | None:
        """The tally of a split, or None as soon as `stop` returns True.

        All workers must call it. Where `stop` returns True on one of them, all get None.
        """
        rounds = self._rounds_until(stop, source)
        parts = self._gather(b"" if rounds is None else packing.pack(_stacked(rounds)))
        if not all(parts):
            return None
        assert rounds is not None  # else its own part were empty
        workers = [packing.unpack(part) for part in parts]
        whole = {name: outputs.in_order([worker[name] for worker in workers]) for name in workers[0]}
        ranks = whole.pop("ranks").reshape(-1)[: len(source)]
        judged = Verdicts(**whole)
        tally = Tally.of(judged, len(source), len(source.class_names))
        if not self._metrics:
            return tally
        rankings = self._rankings(judged, rounds, source) if self._kept.probabilities else ()
        return dataclasses.replace(tally, metrics=measuring.measure(self._metrics, tally, judged, ranks, rankings))

    def rounds(self, source: Source, kept: Kept) -> Iterator[Round]:
        """The judgements of this worker's towers on their next shards, round by round, in the order of the split."""
        iterators = self._towers.iterators(self._datasets(source))
        for number in range(self._num_rounds(source)):
            with failures.explained("eval_batch", functools.partial(self._find_broken, source, number)):
                judged = tf.nest.map_structure(lambda tensor: tensor.numpy(), self._judge(iterators, kept))
            yield judged

    def _num_rounds(self, source: Source) -> int:
        return -(-len(source) // (self._shard_batch * self._num_towers))

    def _rounds_until(self, stop: Callable[[], bool], source: Source) -> list[Round] | None:
        """All rounds, or None as soon as `stop` returns True."""
        rounds, judged = self.rounds(source, self._kept), []
        for _ in range(self._num_rounds(source)):
            if stop():
                return None
            judged.append(next(rounds))
        return judged

    def _rankings(self, judged: Verdicts, rounds: Sequence[Round], source: Source) -> list[Ranking]:
        """The ranking of each class, on every worker. judged: all verdicts. rounds: this worker's."""
        labels = source.labels if self.multi_label else judged.labels.reshape(-1, 1)[: len(source)]
        own = [shards.outputs.probabilities for shards in rounds]
        return outputs.rankings(own, lambda number: (labels == number).any(axis=1), len(source), self._gather)

    def _find_broken(self, source: Source, number: int) -> None:
        """Raises BadDataError naming the first example of a round that cannot be decoded."""
        examples = self._shard_batch * self._num_towers
        with self._towers.on_host():
            find_broken(source, range(number * examples, min((number + 1) * examples, len(source))))

    def _datasets(self, source: Source) -> list[tf.data.Dataset]:
        """Every tower's shards. They are kept until another source is evaluated: to trace them takes a while."""
        if self._latest is None or self._latest[0] is not source:
            rounds, towers = self._num_rounds(source), range(len(self._towers))
            self._latest = source, [self._dataset(source, rounds, tower) for tower in towers]
        return self._latest[1]

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

    def _judge_round(self, iterators: Sequence[tf.data.Iterator], kept: Kept) -> Round:
        """The judgements on the next shard of every tower."""
        shards = []
        for tower, iterator in enumerate(iterators):
            parameters, statistics = self._towers.read(tower, self._ema)
            images, labels, mask = self._towers.next_of(tower, iterator)
            with self._towers.on(tower):
                on_cpus = self._towers.topology.all_on_cpu
                logits = forward.evaluate(self._model, parameters, statistics, images, on_cpus)
                judged = verdicts.judge(self._loss, logits, labels, tf.cast(mask, tf.float32))
                shards.append(Round(judged, outputs.keep(kept, self._loss, logits, labels)))
        with self._towers.on_host():
            return tf.nest.map_structure(lambda *parts: tf.stack(parts), *shards)


def _stacked(rounds: Sequence[Round]) -> dict[str, np.ndarray]:
    """What workers send each other of all rounds, each [num_rounds, num_towers, ...]: the verdicts and the ranks."""
    stacked = Verdicts(*map(np.stack, zip(*(judged.verdicts for judged in rounds), strict=True)))
    return {**stacked._asdict(), "ranks": np.stack([judged.outputs.ranks for judged in rounds])}


def batch_for(image_shape: tuple[int, int, int]) -> int:
    """Examples in a tower's batch of an evaluation: 500, or of large images a power of 2, as 32 of 224 x 224 x 3.

    They depend on the images alone, since the last bits of a loss depend on them.
    """
    fitting = max(1, _MOST_NUMBERS // math.prod(image_shape))
    return _MOST_EXAMPLES if fitting >= _MOST_EXAMPLES else 1 << fitting.bit_length() - 1


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
            return forward.probabilities(model, parameters, statistics, part, loss, towers.topology.all_on_cpu)

    padded = np.concatenate([images, np.zeros((-len(images) % batch, *images.shape[1:]), np.uint8)])
    with failures.explained("eval_batch"):
        rows = [of_batch(tf.constant(padded[i : i + batch])).numpy() for i in range(0, len(padded), batch)]
    return np.concatenate(rows)[: len(images)]
