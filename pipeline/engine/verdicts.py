"""What an evaluation keeps of each example: the meeting of its logits and its labels, on the tower that computed them.

A verdict compares two answers, which are numbers: the right one and the given one. For examples of one label an answer
is a class. For examples of any number of labels each class c is a question, with the answers c, that the example is of
the class, and classes + c, that it is not; a verdict is about the class whose probability is furthest off.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.engine.losses import BinaryCrossEntropy, Loss


class Verdicts(NamedTuple):
    """The verdicts of the towers on their next shards, padding included, as NumPy arrays or tensors."""

    loss: np.ndarray  # [num_towers] float32: sums over the examples
    labels: np.ndarray  # [num_towers, shard_batch] int32 or int64: the right answers
    predicted: np.ndarray  # [num_towers, shard_batch] int32 or int64: the given answers
    confidence: np.ndarray  # [num_towers, shard_batch] float32: the probability of the given answer
    # [num_towers, classes, 2, 2] float32: the examples without and with the label down, without and with the prediction
    # across; for examples of one label [num_towers, 0, 2, 2].
    of_classes: np.ndarray


def judge(loss: Loss, logits: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> Verdicts:
    """The verdicts on one tower's shard, without the leading dimension.

    logits: [shard_batch, classes] float32. labels: [shard_batch] int32, or [shard_batch, classes] float32 of 0 and 1.
    mask: [shard_batch] float32, 1 for examples and 0 for padding.
    """
    total = tf.reduce_sum(loss.of_examples(logits, labels) * mask)
    probabilities = loss.probabilities(logits)
    if isinstance(loss, BinaryCrossEntropy):
        of_classes = _counts(probabilities, labels, mask)
        return Verdicts(total, *_furthest_off(probabilities, labels), of_classes)
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return Verdicts(total, labels, predicted, tf.reduce_max(probabilities, axis=-1), tf.zeros([0, 2, 2]))


def _counts(probabilities: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """See `Verdicts.of_classes`. Sums of 0 and 1 are exact in float32 below 2**24 examples."""
    predicted = tf.cast(probabilities > 0.5, tf.float32)
    cells = [
        tf.reduce_sum(has * says * mask[:, None], axis=0)
        for has in (1 - labels, labels)
        for says in (1 - predicted, predicted)
    ]
    return tf.reshape(tf.stack(cells, axis=-1), [-1, 2, 2])


def _furthest_off(probabilities: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of each example, the right and the given answer to one class, and the given one's probability.

    A class whose answer is wrong comes before one whose answer is right.
    """
    says = probabilities > 0.5
    of_answer = tf.where(says, probabilities, 1 - probabilities)
    off = tf.where(says == (labels > 0.5), -of_answer, of_answer)
    chosen = tf.argmax(off, axis=-1)  # of 64 bits: GPUs compute with whole numbers of 32 bits on the host
    no = tf.constant(labels.shape[-1], tf.int64)

    def answer(yes: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.gather(yes, chosen, batch_dims=1), chosen, chosen + no)

    return answer(labels > 0.5), answer(says), tf.gather(of_answer, chosen, batch_dims=1)
