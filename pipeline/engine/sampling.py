"""Balanced sampling: an order of training examples in which every class comes equally often."""

import numpy as np
import tensorflow as tf

from pipeline.errors import BadDataError
from pipeline.random.keys import Purpose, fold_in, permutation, shuffled
from pipeline.sources.labels import NO_CLASS, Labels


class Balanced:
    """The example at each position, a pure function of (seed, position) in O(1).

    With k classes, of which the largest has m examples, k * m positions are an epoch: a permutation of k * m slots, m
    for each class. So each class comes m times an epoch, in random order. Slot after slot, from epoch to epoch, a class
    goes through its examples in permutations of its own: after any number of epochs, the numbers of times that two of
    its examples came differ by at most 1.

    An example of several classes is one of each. Examples without a class, if there are any, are one more class.
    It holds the number of each example once for each of its classes.
    """

    def __init__(self, labels: Labels, class_names: tuple[str, ...]) -> None:
        """labels: of the training examples. Raises BadDataError for a class without any."""
        table = labels.reshape(len(labels), -1)
        without = (table == NO_CLASS).all(axis=1)
        groups = np.where(without[:, None] & (np.arange(table.shape[1]) == 0), len(class_names), table)
        examples, columns = np.nonzero(groups != NO_CLASS)
        numbers = groups[examples, columns]
        counts = np.bincount(numbers, minlength=len(class_names))
        if not counts.all():
            raise BadDataError(
                f"sampling=balanced: class {class_names[int(np.argmin(counts))]} has no training examples; add some, "
                "take it out of the classes, or leave --sampling out"
            )
        order = np.argsort(numbers, kind="stable")
        self._num_classes, self._most = len(counts), int(counts.max())
        # Eager tensors, which a tf.data function captures; NumPy arrays would become constants of every graph.
        self._examples = tf.constant(examples[order].astype(np.int32))
        self._counts = tf.constant(counts.astype(np.int64))
        self._starts = tf.constant(np.cumsum(counts) - counts, tf.int64)

    @property
    def epoch_size(self) -> int:
        """Positions of an epoch."""
        return self._num_classes * self._most

    def indices(self, seed: int, positions: tf.Tensor) -> tf.Tensor:
        """The example at each position: [n] int64 -> [n] int64."""
        slot = permutation(seed, positions, self.epoch_size, Purpose.SLOTS)
        classes, place = slot % self._num_classes, slot // self._num_classes
        count = tf.gather(self._counts, classes)
        turn = positions // self.epoch_size * self._most + place  # of its class, over all epochs
        keys = fold_in(seed, Purpose.OF_CLASS, classes, turn // count)
        chosen = tf.gather(self._starts, classes) + shuffled(keys, turn % count, count)
        return tf.cast(tf.gather(self._examples, chosen), tf.int64)
