"""A checkpoint's scores on a split: its confusion matrix, and its most confident mistakes."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from markupsafe import Markup

from pipeline.engine.tally import Mistake, Scores
from pipeline.metrics.counts import condensed, worst_pairs
from pipeline.metrics.intervals import Interval, wilson
from pipeline.metrics.summary import Metrics
from pipeline.monitoring import scorecard
from pipeline.reporting import charts
from pipeline.runs import saved_run
from pipeline.runs.run_directory import RunDirectory
from pipeline.sources.base import Source

WORST_PAIRS, WORST_PAIRS_OF_MANY = 8, 24
CONDENSED_CLASSES = 23
MOST_PICTURES = 24


@dataclasses.dataclass(frozen=True)
class Picture:
    """An example whose predicted class is not its label, with its picture."""

    image: str  # a data: URI
    where: str  # its file or index, by which a person can find it
    label: str
    predicted: str
    confidence: float


@dataclasses.dataclass(frozen=True)
class Scored:
    """The scores of a checkpoint on a split."""

    split: str
    source: str  # of the split
    step: int
    scores: Scores
    class_names: tuple[str, ...]
    confusion: np.ndarray  # as in `Tally`
    pictures: tuple[Picture, ...]  # the most confident first
    metrics: Metrics | None = None

    @property
    def matrix(self) -> Markup | None:
        """The confusion matrix as a chart: of too many classes, of those of the worst pairs, and all others as one.

        None for examples of several labels.
        """
        if self.confusion.ndim == 3:
            return None
        if not self.is_condensed:
            return charts.matrix(self.confusion, self.class_names)
        part = condensed(self.confusion, CONDENSED_CLASSES)
        return charts.matrix(part.confusion, part.names(self.class_names), part.accuracies)

    @property
    def is_condensed(self) -> bool:
        """Whether there are too many classes for a whole matrix."""
        return len(self.class_names) > charts.MOST_CLASSES

    @property
    def worst_pairs(self) -> list[tuple[str, str, int, float]]:
        """The most frequent mistakes: true class, predicted class, how often, and which share of the true class."""
        most = WORST_PAIRS if len(self.class_names) <= charts.MOST_NUMBERED else WORST_PAIRS_OF_MANY
        names = self.class_names
        return [(names[p.label], names[p.predicted], p.examples, p.share) for p in worst_pairs(self.confusion, most)]

    @property
    def accuracy_interval(self) -> Interval:
        """The 95 % interval of the accuracy."""
        return wilson(round(self.scores.accuracy * self.scores.examples), self.scores.examples)

    @property
    def averages(self) -> list[tuple[str, str, str]]:
        """A row for each metric that was asked for: its name, its value, and more about it."""
        return scorecard.averages(self.metrics) if self.metrics else []

    @property
    def by_class(self) -> tuple[list[str], list[list[str]]]:
        """The columns and rows of a table of the classes, those of least F1, or of the first metric, at the top."""
        columns = self.metrics.by_class if self.metrics else {}
        if not columns or not self.metrics:
            return [], []
        order = np.argsort(columns.get("f1", next(iter(columns.values()))), kind="stable")  # NaN last
        support = self.metrics.counts.support
        rows = [
            [self.class_names[i], f"{int(support[i]):,}", *(scorecard.share(values[i]) for values in columns.values())]
            for i in order.tolist()
        ]
        return ["class", "examples", *columns], rows


def score(directory: RunDirectory, which: str, split: str, execution: Mapping[str, Any]) -> Scored:
    """Scores the checkpoint that `which` names on a split, on the devices that `execution` asks for.

    Raises a PipelineError if there is no such checkpoint, or if the model or the examples are missing or have changed.
    """
    saved = saved_run.SavedRun(directory)
    restored = saved.restore(which)
    assembly, towers = saved.assemble(restored, execution)
    source = saved.examples(assembly, split)
    tally = assembly.evaluator(towers).tally(source)
    assert tally is not None  # no stop can be asked for here
    names = source.class_names
    with towers.on_host():
        pictures = _pictures(source, tally.mistakes[:MOST_PICTURES], tally.answers(names))
    about = split, assembly.config.source, restored.manifest.step
    return Scored(*about, tally.scores, names, tally.confusion, pictures, tally.metrics)


def _pictures(source: Source, mistakes: Sequence[Mistake], names: Sequence[str]) -> tuple[Picture, ...]:
    """names: those of the answers."""
    if not mistakes:
        return ()
    raw, _ = source.fetch(tf.constant([mistake.example for mistake in mistakes], tf.int64))
    images = source.decode(raw)
    return tuple(
        Picture(_data_uri(image), source.where(m.example), names[m.label], names[m.predicted], m.confidence)
        for image, m in zip(images, mistakes, strict=True)
    )


def _data_uri(image: tf.Tensor) -> str:
    """An image, [height, width, 1 or 3] uint8, as a data: URI with a PNG."""
    return "data:image/png;base64," + base64.b64encode(tf.io.encode_png(image).numpy()).decode()
