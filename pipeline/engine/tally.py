"""The counts of an evaluation, and the scores that follow from them."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.engine.verdicts import Verdicts
from pipeline.metrics.intervals import Interval, wilson
from pipeline.metrics.summary import Metrics


class Scores(NamedTuple):
    """The loss and accuracy of a model on a split."""

    loss: float  # mean over the examples, without label smoothing and weights
    accuracy: float  # share of the examples, in [0, 1]; of several labels, all must be right
    examples: int


class Mistake(NamedTuple):
    """An example whose given answer is not the right one; `Tally.answers` names them."""

    confidence: float  # the probability of the given answer
    example: int  # its index in the split
    label: int  # the right answer
    predicted: int  # the given answer


MISTAKES_KEPT = 24


@dataclasses.dataclass(frozen=True)
class Tally:
    """The counts of an evaluation: losses, confusion matrix and mistakes. Tallies of parts of a split can be joined."""

    shard_losses: np.ndarray  # [shards] float32: sums over the examples of each shard
    # [classes, classes] int64: true classes down, predicted classes across. Of examples with any number of labels,
    # [classes, 2, 2] int64: for each class, without and with the label down, without and with the prediction across.
    confusion: np.ndarray
    mistakes: tuple[Mistake, ...]  # the most confident ones, by falling confidence, then by rising example
    wrong: int  # examples with a mistake
    metrics: Metrics | None = None  # where any are asked for

    @classmethod
    def of(cls, verdicts: Verdicts, examples: int, classes: int) -> "Tally":
        """Counts the verdicts on all shards of a split. They come in order, with the padding at their end."""
        parts = (verdicts.labels, verdicts.predicted, verdicts.confidence)
        labels, predicted, confidence = (part.reshape(-1)[:examples] for part in parts)
        if verdicts.of_classes.size:
            confusion = verdicts.of_classes.astype(np.int64).sum(axis=0)
        else:
            counts = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2)
            confusion = counts.reshape(classes, classes)
        wrong = np.flatnonzero(labels != predicted)
        kept = wrong[np.lexsort((wrong, -confidence[wrong]))][:MISTAKES_KEPT]
        columns = (confidence[kept], kept, labels[kept], predicted[kept])
        mistakes = tuple(Mistake(*row) for row in zip(*(column.tolist() for column in columns), strict=True))
        return cls(verdicts.loss, confusion, mistakes, len(wrong))

    @property
    def multi_label(self) -> bool:
        """Whether the examples have any number of labels."""
        return self.confusion.ndim == 3

    @property
    def examples(self) -> int:
        """The number of examples."""
        return int((self.confusion[0] if self.multi_label else self.confusion).sum())

    @property
    def scores(self) -> Scores:
        """Loss and accuracy. The losses of the shards are added in float64, in their order."""
        loss = sum(self.shard_losses.astype(np.float64).tolist())
        return Scores(loss / self.examples, (self.examples - self.wrong) / self.examples, self.examples)

    @property
    def accuracy_interval(self) -> Interval:
        """The 95 % interval of the accuracy."""
        return wilson(self.examples - self.wrong, self.examples)

    @property
    def values(self) -> dict[str, float]:
        """Loss, accuracy, and one number for each metric, by name."""
        metrics = self.metrics.values if self.metrics else {}
        return {"loss": self.scores.loss, "accuracy": self.scores.accuracy, **metrics}

    def by_class(self, class_names: Sequence[str]) -> dict[str, float]:
        """The accuracy on each class, in the order of the classes; a class without examples is left out.

        Of examples with any number of labels, the share of all examples that are rightly of the class or not of it.
        """
        right = (self.confusion.trace(axis1=1, axis2=2) if self.multi_label else self.confusion.diagonal()).tolist()
        examples = self.confusion.sum(axis=(1, 2) if self.multi_label else 1).tolist()
        return {name: right[i] / examples[i] for i, name in enumerate(class_names) if examples[i]}

    def answers(self, class_names: Sequence[str]) -> tuple[str, ...]:
        """The names of the answers in mistakes, in the order of their numbers."""
        return (*class_names, *(f"not {name}" for name in class_names)) if self.multi_label else tuple(class_names)
