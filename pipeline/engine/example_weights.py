"""The weights that a source gives its examples: a column beside the shares of the classes in the rows of labels."""

import dataclasses

import numpy as np
import tensorflow as tf

from pipeline.augment.mixing import shares
from pipeline.engine.losses import Loss
from pipeline.errors import BadDataError
from pipeline.sources.base import Source
from pipeline.sources.labels import Weights


def of(train: Source) -> Weights | None:
    """The weights of the training examples, divided by their mean; None where the source gives none.

    Raises BadDataError where all are 0.
    """
    if train.weights is None:
        return None
    mean = train.weights.mean(dtype=np.float64)
    if not mean:
        raise BadDataError("all training examples have the weight 0; raise one")
    return (train.weights / mean).astype(np.float32)


def rows(labels: tf.Tensor, classes: int, weights: tf.Tensor) -> tf.Tensor:
    """Labels [n] or [n, classes] with weights [n]: [n, classes + 1] float32, the weight behind the shares."""
    return tf.concat([shares(labels, classes), weights[:, None]], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Weighted:
    """Another loss, each example's times its weight, of labels as `rows` gives them."""

    loss: Loss

    def of_examples(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """See `Loss`."""
        return self.loss.of_examples(logits, labels[:, :-1]) * labels[:, -1]

    def hits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """See `Loss`. Every example counts as one."""
        return self.loss.hits(logits, labels[:, :-1])

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """See `Loss`."""
        return self.loss.probabilities(logits)
