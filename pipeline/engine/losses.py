"""The loss of each example, and whether its prediction is right: for examples of one label, or of any number."""

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf


class Loss(Protocol):
    """A loss, by what the labels are. Its methods run on the device in force."""

    def of_examples(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The loss of each example: logits [n, classes] float32 -> [n] float32."""
        ...

    def hits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """1 for an example whose prediction is right, else 0: [n] float32."""
        ...

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """The probability of each class: [n, classes] float32."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class CrossEntropy:
    """Softmax cross-entropy, of labels [n] or of distributions [n, classes] float32 that sum to 1.

    With smoothing s the target is (1 - s) on the label and s / classes everywhere (Szegedy et al. 2016, section 7).
    weights: [classes] float32; the term of each class, target x -log(probability), is multiplied by its weight.
    dense: labels are made distributions. On GPUs the deterministic gradient of a label's own term sorts all labels,
    and XLA's goes through them one by one.
    """

    label_smoothing: float = 0.0
    weights: npt.NDArray[np.float32] | None = None
    dense: bool = False

    def of_examples(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """See `Loss`."""
        loss = self._of_labels(logits, labels)
        if not self.label_smoothing:
            return loss
        terms = tf.nn.log_softmax(logits) if self.weights is None else tf.nn.log_softmax(logits) * self.weights
        return (1 - self.label_smoothing) * loss + self.label_smoothing * -tf.reduce_mean(terms, axis=-1)

    def _of_labels(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The loss without smoothing."""
        if labels.shape.rank == 2:
            if self.weights is not None:  # TensorFlow's own takes the targets to sum to 1 in its gradient
                return -tf.reduce_sum(labels * self.weights * tf.nn.log_softmax(logits), axis=-1)
            return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
        if self.dense:
            loss = tf.nn.softmax_cross_entropy_with_logits(tf.one_hot(labels, logits.shape[-1]), logits)
        else:
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return loss if self.weights is None else loss * tf.gather(tf.constant(self.weights), labels)

    def hits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """1 where the logits are largest at the label, else 0: [n] float32. Of a distribution, the largest counts."""
        if labels.shape.rank == 2:
            labels = tf.argmax(labels, axis=-1)
        return tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """See `Loss`."""
        return tf.nn.softmax(logits)


@dataclasses.dataclass(frozen=True, eq=False)
class BinaryCrossEntropy:
    """The mean over the classes of each one's binary cross-entropy, of labels [n, classes] float32 in [0, 1].

    With smoothing s the target y becomes (1 - s) y + s / 2: each class is a question with two answers.
    weights: [2, classes] float32; of each class, those of the terms (1 - y) -log(1 - p) and y -log(p).
    """

    label_smoothing: float = 0.0
    weights: npt.NDArray[np.float32] | None = None

    def of_examples(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """See `Loss`."""
        if self.label_smoothing:
            labels = (1 - self.label_smoothing) * labels + self.label_smoothing / 2
        if self.weights is None:
            return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=-1)
        without, having = self.weights
        terms = (1 - labels) * without * tf.nn.softplus(logits) + labels * having * tf.nn.softplus(-logits)
        return tf.reduce_mean(terms, axis=-1)

    def hits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """1 where every class is right, else 0: [n] float32. A class is predicted, or is a label, above one half."""
        return tf.cast(tf.reduce_all((self.probabilities(logits) > 0.5) == (labels > 0.5), axis=-1), tf.float32)

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """See `Loss`."""
        return tf.nn.sigmoid(logits)


def plain(multi_label: bool) -> Loss:
    """The loss of evaluations: without label smoothing and weights, of examples with one label or any number."""
    return BinaryCrossEntropy() if multi_label else CrossEntropy()
