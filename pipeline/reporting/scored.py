"""A checkpoint's scores on a split: its confusion matrix, and its most confident mistakes."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from markupsafe import Markup

from pipeline.engine.evaluation import Evaluator
from pipeline.engine.tally import Mistake, Scores
from pipeline.reporting import charts
from pipeline.runs import saved_run
from pipeline.runs.run_directory import RunDirectory
from pipeline.sources.base import Source

WORST_PAIRS = 8
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
    step: int
    scores: Scores
    class_names: tuple[str, ...]
    confusion: np.ndarray  # as in `Tally`
    pictures: tuple[Picture, ...]  # the most confident first

    @property
    def multi_label(self) -> bool:
        """Whether the examples have any number of labels; then there is no confusion matrix."""
        return self.confusion.ndim == 3

    @property
    def matrix(self) -> Markup | None:
        """The confusion matrix as a chart; None for too many classes, and for examples of several labels."""
        return charts.matrix(self.confusion, self.class_names) if not self.multi_label else None

    @property
    def worst_pairs(self) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: true class, predicted class, how often; none for examples of several labels."""
        if self.multi_label:
            return []
        wrong = self.confusion * (1 - np.eye(len(self.class_names), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[:WORST_PAIRS]
        pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
        return [(self.class_names[i], self.class_names[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]]


def score(directory: RunDirectory, which: str, split: str, execution: Mapping[str, Any]) -> Scored:
    """Scores the checkpoint that `which` names on a split, on the devices that `execution` asks for.

    Raises a PipelineError if there is no such checkpoint, or if the model or the examples are missing or have changed.
    """
    saved = saved_run.SavedRun(directory)
    restored = saved.restore(which)
    assembly, towers = saved.assemble(restored, execution)
    saved_run.check_examples(assembly.spec, assembly.splits.spec)
    source = assembly.evaluated(split)
    config = assembly.config
    tally = Evaluator(assembly.model, towers, config.eval_batch, multi_label=config.multi_label).tally(source)
    assert tally is not None  # no stop can be asked for here
    names = source.class_names
    with towers.on_host():
        pictures = _pictures(source, tally.mistakes[:MOST_PICTURES], tally.answers(names))
    return Scored(split, restored.manifest.step, tally.scores, names, tally.confusion, pictures)


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
