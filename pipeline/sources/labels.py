"""The labels of a split: one class an example, or any number of classes each."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

NO_CLASS = -1  # fills the rows of examples with fewer labels than others

# The class of each example, [n]; or the classes of each, [n, most], rows filled up with NO_CLASS.
Labels = npt.NDArray[np.int32]
Weights = npt.NDArray[np.float32]  # of the losses of the examples, [n], each 0 or more


def by_example(numbers: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]) -> Labels:
    """The classes of examples that have `counts` of them, which stand one after another in `numbers`: [n, most].

    Those of one example are sorted.
    """
    most = max(1, int(counts.max(initial=0)))
    table = np.full([len(counts), most], NO_CLASS, np.int32)
    table[np.arange(most) < counts[:, None]] = numbers[np.lexsort((numbers, np.repeat(np.arange(len(counts)), counts)))]
    return table


def of_example(labels: Labels, index: int) -> tuple[int, ...]:
    """The classes of one example."""
    return tuple(label for label in np.atleast_1d(labels[index]).tolist() if label != NO_CLASS)


def joined_names(labels: Labels, class_names: Sequence[str]) -> list[str]:
    """The names of each example's classes, joined by | where there are several."""
    if labels.ndim == 1:
        return [class_names[label] for label in labels.tolist()]
    return ["|".join(class_names[label] for label in row if label != NO_CLASS) for row in labels.tolist()]


class Lookup:
    """The labels of a split as tensors, by index."""

    def __init__(self, labels: Labels, num_classes: int) -> None:
        self.array: Labels = np.asarray(labels, np.int32)
        # An eager tensor, which a tf.data function captures; a NumPy array would become a constant of every graph.
        self._labels, self._num_classes = tf.constant(self.array), num_classes

    def __call__(self, indices: tf.Tensor) -> tf.Tensor:
        """[n] int64 -> [n] int32, or [n, classes] float32, 1 for each class that the example has, else 0."""
        found = tf.gather(self._labels, indices)
        return found if found.shape.rank == 1 else several_hot(found, self._num_classes)


def several_hot(rows: tf.Tensor, num_classes: int) -> tf.Tensor:
    """The classes of each example, [n, most] int32, as [n, classes] float32: 1 for those that it has, else 0."""
    return tf.reduce_max(tf.one_hot(rows, num_classes), axis=1)
