"""Exact evaluation: every example of a split counts once, and the result does not depend on the number of towers."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipeline.engine import answers, chunked_map, failures, forward, packing
from pipeline.engine.answers import Answers, Kept, in_order
from pipeline.engine.towers import Towers
from pipeline.metrics import calibration, counts, names
from pipeline.metrics.intervals import Interval, wilson
from pipeline.metrics.summary import Metrics, summarize
from pipeline.sources.base import Source
from pipeline.sources.decoding import find_broken


class Scores(NamedTuple):
    """The loss and accuracy of a model on a split."""

    loss: float  # mean over the examples
    accuracy: float  # share of the examples, in [0, 1]
    examples: int


class Mistake(NamedTuple):
    """An example whose predicted class is not its label."""

    confidence: float  # the probability of the predicted class
    example: int  # its index in the split
    label: int
    predicted: int


MISTAKES_KEPT = 24

Gather = Callable[[bytes], list[bytes]]


@dataclasses.dataclass(frozen=True)
class Tally:
    """The counts of an evaluation: losses, confusion matrix and mistakes. Tallies of parts of a split can be joined."""

    shard_losses: np.ndarray  # [shards] float32: sums over the examples of each shard
    confusion: np.ndarray  # [classes, classes] int64: true classes down, predicted classes across
    mistakes: tuple[Mistake, ...]  # the most confident ones, by falling confidence, then by rising example
    metrics: Metrics | None = None  # where any are asked for

    @property
    def scores(self) -> Scores:
        """Loss and accuracy. The losses of the shards are added in float64, in their order."""
        examples = int(self.confusion.sum())
        loss = sum(self.shard_losses.astype(np.float64).tolist())
        return Scores(loss / examples, int(self.confusion.trace()) / examples, examples)

    @property
    def values(self) -> dict[str, float]:
        """Loss, accuracy, and one number for each metric, by name."""
        metrics = self.metrics.values if self.metrics else {}
        return {"loss": self.scores.loss, "accuracy": self.scores.accuracy, **metrics}

    @property
    def accuracy_interval(self) -> Interval:
        """The 95 % interval of the accuracy."""
        return wilson(int(self.confusion.trace()), self.scores.examples)

    def by_class(self, class_names: Sequence[str]) -> dict[str, float]:
        """The accuracy on each class, in the order of the classes; a class without examples is left out."""
        examples, right = self.confusion.sum(axis=1).tolist(), self.confusion.diagonal().tolist()
        return {name: right[i] / examples[i] for i, name in enumerate(class_names) if examples[i]}


class _Verdicts(NamedTuple):
    """The predictions of the towers on their next shards, padding included, as NumPy arrays or tensors."""

    loss: np.ndarray  # [num_towers] float32: sums over the examples
    labels: np.ndarray  # [num_towers, shard_batch] int32
    predicted: np.ndarray  # [num_towers, shard_batch] int32
    confidence: np.ndarray  # [num_towers, shard_batch] float32


class Round(NamedTuple):
    """The judgements on the next shards of the towers."""

    verdicts: _Verdicts
    answers: Answers


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
        metrics: names.Names = (),
    ):
        """gather: returns every worker's bytes on each worker, in order; by default there is one worker.

        ema: the moving averages are evaluated. metrics: what a tally holds beside loss and accuracy, as
        `names.settled` gives it.
        """
        self._ema, self._metrics, self._kept = ema, metrics, Kept.of(metrics)
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
        rounds = self._rounds_until(stop, source)
        parts = self._gather(b"" if rounds is None else packing.pack(_stacked(rounds)))
        if not all(parts):
            return None
        assert rounds is not None  # else its own part were empty
        workers = [packing.unpack(part) for part in parts]
        whole = {name: in_order([worker[name] for worker in workers]) for name in workers[0]}
        ranks = whole.pop("ranks").reshape(-1)[: len(source)]
        verdicts = _Verdicts(**whole)
        tally = _tally(verdicts, source)
        if not self._metrics:
            return tally
        return dataclasses.replace(tally, metrics=self._measure(tally, verdicts, ranks, rounds, source))

    def rounds(self, source: Source, kept: Kept) -> Iterator[Round]:
        """The judgements of this worker's towers on their next shards, round by round, in the order of the split."""
        datasets = [self._dataset(source, self._num_rounds(source), tower) for tower in range(len(self._towers))]
        iterators = self._towers.iterators(datasets)
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

    def _measure(
        self, tally: Tally, verdicts: _Verdicts, ranks: np.ndarray, rounds: Sequence[Round], source: Source
    ) -> Metrics:
        """The metrics, on every worker the same. The arrays hold the whole split; `rounds` are this worker's."""
        labels, predicted, confidence = (part.reshape(-1)[: len(source)] for part in verdicts[1:])
        calibrated = names.CALIBRATION in self._metrics
        own = [judged.answers.probabilities for judged in rounds] if self._kept.probabilities else []
        return summarize(
            self._metrics,
            len(source),
            counts.of_confusion(tally.confusion),
            answers.rankings(own, lambda number: labels == number, len(source), self._gather) if own else (),
            {name: int((ranks < names.top_k(name)).sum()) for name in self._metrics if names.top_k(name)},
            calibration.calibrate(confidence, labels == predicted) if calibrated else None,
        )

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
            return images, tf.ensure_shape(labels, positions.shape), tf.cast(positions < length, tf.int32)

        return chunked_map.dataset(0, rounds, shard_batch, math.prod(source.image_shape), chunk)

    def _judge_round(self, iterators: Sequence[tf.data.Iterator], kept: Kept) -> Round:
        """The judgements on the next shard of every tower."""
        shards = []
        for tower, iterator in enumerate(iterators):
            parameters, statistics = self._towers.read(tower, self._ema)
            images, labels, mask = self._towers.next_of(tower, iterator)
            with self._towers.on(tower):
                logits = forward.evaluate(self._model, parameters, statistics, images)
                loss = tf.reduce_sum(forward.cross_entropy(logits, labels) * tf.cast(mask, tf.float32))
                predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
                probabilities = tf.nn.softmax(logits)
                verdicts = _Verdicts(loss, labels, predicted, tf.reduce_max(probabilities, axis=-1))
                shards.append(Round(verdicts, answers.answer(kept, logits, labels, probabilities)))
        with self._towers.on_host():
            return tf.nest.map_structure(lambda *parts: tf.stack(parts), *shards)


def _stacked(rounds: Sequence[Round]) -> dict[str, np.ndarray]:
    """What workers send each other of all rounds, each [num_rounds, num_towers, ...]: the verdicts and the ranks."""
    verdicts = _Verdicts(*map(np.stack, zip(*(judged.verdicts for judged in rounds), strict=True)))
    return {**verdicts._asdict(), "ranks": np.stack([judged.answers.ranks for judged in rounds])}


def _tally(verdicts: _Verdicts, source: Source) -> Tally:
    """Counts the verdicts on all shards of a split. They come in order, with the padding at their end."""
    labels, predicted, confidence = (v.reshape(-1)[: len(source)] for v in verdicts[1:])
    classes = len(source.class_names)
    cells = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2)
    wrong = np.flatnonzero(labels != predicted)
    kept = wrong[np.lexsort((wrong, -confidence[wrong]))][:MISTAKES_KEPT]
    columns = (confidence[kept], kept, labels[kept], predicted[kept])
    mistakes = tuple(Mistake(*row) for row in zip(*(column.tolist() for column in columns), strict=True))
    return Tally(verdicts.loss, cells.reshape(classes, classes), mistakes)


def probabilities(model: keras.Model, towers: Towers, images: np.ndarray, batch: int) -> np.ndarray:
    """The probabilities of each image's classes, on the first tower: [n, h, w, c] uint8 -> [n, classes] float32.

    The last batch is padded with zeros, so that all batches have one shape.
    """

    @tf.function(autograph=False)
    def softmax(part: tf.Tensor) -> tf.Tensor:
        parameters, statistics = towers.read(0)
        with towers.on(0):
            return forward.probabilities(model, parameters, statistics, part)

    padded = np.concatenate([images, np.zeros((-len(images) % batch, *images.shape[1:]), np.uint8)])
    with failures.explained("eval_batch"):
        rows = [softmax(tf.constant(padded[i : i + batch])).numpy() for i in range(0, len(padded), batch)]
    return np.concatenate(rows)[: len(images)]
