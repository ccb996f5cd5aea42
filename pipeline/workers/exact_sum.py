"""A sum over all workers along one tree, at the price of a ring: recursive halving and doubling.

Thakur, Rabenseifner & Gropp 2005, section 4. In the first stage two neighbours exchange halves of the vector, and each
adds its own; in the next one two pairs exchange halves of these halves; and so on. Then the sums go back the same way.
Where the number of workers is 2**k times an odd number, the last stage is one of so many, who all exchange parts.
So each worker sends 2 (workers - 1) / workers of the vector, as in a ring, for any number of workers.
"""

from collections.abc import Sequence

import tensorflow as tf

from pipeline.engine import reduce
from pipeline.workers.collectives import Group

INSTANCES = 2  # that one sum uses in each group
_RANKS_INSTANCE = 1


class Stage:
    """The workers who add together in one stage, from the view of one of them.

    Each has a place, which decides its part of the vector. Its rank in TensorFlow's group may be another one.
    """

    def __init__(self, group: Group, ranks: Sequence[int]):
        """ranks: of the members, in the order of their places, which is that of the tree."""
        self._group, self._ranks = group, list(ranks)
        self._places = sorted(range(group.size), key=self._ranks.__getitem__)

    def scatter(self, value: tf.Tensor, instance: int) -> tf.Tensor:
        """[n / members]: this worker's part of the sum of [n]."""
        parts = _reordered(tf.reshape(value, [self._group.size, -1]), self._places)
        received = tf.unstack(self._group.exchange(parts, instance))
        return reduce.tree([received[rank] for rank in self._ranks], tf.add)

    def gather(self, part: tf.Tensor, instance: int) -> tf.Tensor:
        """[n]: the whole sum, of which each member has the part that `scatter` gave it."""
        gathered = self._group.gather(part, instance)
        return tf.reshape(_reordered(tf.reshape(gathered, [self._group.size, -1]), self._ranks), [-1])


class ExactSum:
    """Adds vectors on the device in force; all workers must call it in the same order."""

    def __init__(self, everyone: Group, index: int, first_key: int):
        """index: this worker's own. first_key: it and those after it, as many as workers and stages, are no others'."""
        self._workers = everyone.size
        self._stages: list[Stage] = []
        stride = 1  # between the members of a stage
        for number, size in enumerate(reduce.stages(everyone.size)):
            first = index - index // stride % size * stride
            group = everyone.subgroup(first_key + number * everyone.size + first, size)
            ranked = group.ranked(index, _RANKS_INSTANCE)
            self._stages.append(Stage(group, [ranked.index(member) for member in sorted(ranked)]))
            stride *= size

    def added(self, value: tf.Tensor, instance: int) -> tf.Tensor:
        """[n]: the sum of all workers' [n], the bits of `reduce.tree` over the workers on each."""
        elements = value.shape.num_elements()
        padding = reduce.part_size(elements, self._workers) * self._workers - elements
        return self._added(tf.pad(value, [[0, padding]]), self._stages, instance)[:elements]

    def _added(self, value: tf.Tensor, stages: Sequence[Stage], instance: int) -> tf.Tensor:
        if not stages:
            return value
        stage, *later = stages
        part = self._added(stage.scatter(value, instance), later, instance)
        return stage.gather(part, instance + 1)


def _reordered(rows: tf.Tensor, order: list[int]) -> tf.Tensor:
    """The rows in this order; without a copy where it is theirs."""
    return rows if order == sorted(order) else tf.gather(rows, order)
