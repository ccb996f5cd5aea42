"""Updates of variables that lie on the host, computed on the first tower."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from pipeline.engine.towers import Towers

Update = Callable[[tf.Variable, Sequence[tf.Variable]], None]  # of a parameter and its slots


class Staging:
    """Brings one parameter and its slots at a time to the first tower, and back after their update.

    It is for GPUs whose variables the CPU keeps: kernels of the CPU would update them to other last bits. The copies
    of parameters of one shape share their memory.
    """

    def __init__(self, towers: Towers, num_slots: int):
        self._towers, self._replica = towers, towers.replicas[0]
        shapes = {tuple(variable.shape) for variable in self._replica.parameters}
        with towers.on(0):
            self._copies = {
                shape: [tf.Variable(tf.zeros(shape), name=f"staging_{i}") for i in range(1 + num_slots)]
                for shape in shapes
            }

    def update(self, variable: tf.Variable, slots: Sequence[tf.Variable], update: Update) -> None:
        """Runs `update` on copies of a parameter of the replica and its slots."""
        kept, copies = (variable, *slots), self._copies[tuple(variable.shape)]
        with self._towers.at(self._replica):
            values = [each.read_value() for each in kept]
        with self._towers.on(0):
            for copy, value in zip(copies, values, strict=True):
                copy.assign(value)
            update(copies[0], copies[1:])
            values = [copy.read_value() for copy in copies]
        with self._towers.at(self._replica):
            for each, value in zip(kept, values, strict=True):
                each.assign(value)
