"""TensorFlow's collectives over all workers: the only file that calls them."""

import copy
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class Group:
    """One device of every worker; operations go to the device in force.

    Every worker must call the same methods in the same order. An instance is a number of one collective's own: it has
    one kind, type and size, wherever it is used again.
    """

    def __init__(self, key: int, size: int, communication: str):
        """key: no other group's. size: how many workers. communication: 'ring' between hosts, 'nccl' between GPUs."""
        self._group = {"group_key": key, "group_size": size, "communication_hint": communication}
        self.size = size
        # It puts the device's collectives into one order: two at a time can wait for each other.
        self._token = tf.Variable(0.0, name="ordering_token")

    def subgroup(self, key: int, size: int) -> "Group":
        """Some of these members, as a group of its own; its collectives and this one's keep one order."""
        among = copy.copy(self)
        among._group = {**self._group, "group_key": key, "group_size": size}
        among.size = size
        return among

    def sum(self, value: tf.Tensor, instance: int) -> tf.Tensor:
        """The sum of all members' values, in an order that depends on their number."""
        return tf.raw_ops.CollectiveReduceV2(
            input=value, merge_op="Add", final_op="Id", max_subdivs_per_device=0, **self._call(instance)
        )

    def exchange(self, parts: tf.Tensor, instance: int) -> tf.Tensor:
        """[size, ...]: what every member has for this one, from [size, ...], what this one has for every member.

        Members stand in the order of their ranks; see `ranked`.
        """
        return tf.raw_ops.CollectiveAllToAllV2(input=parts, **self._call(instance))

    def gather(self, value: tf.Tensor, instance: int) -> tf.Tensor:
        """[size * n, ...]: all members' values of [n, ...], one after the other in the order of their ranks."""
        wire = tf.float16 if value.dtype == tf.bfloat16 else value.dtype  # it knows no bfloat16; bits travel alike
        gathered = tf.raw_ops.CollectiveGatherV2(input=tf.bitcast(value, wire), **self._call(instance))
        return tf.bitcast(gathered, value.dtype)

    def send(self, value: tf.Tensor, instance: int) -> None:
        """Sends one member's value to all others, which `receive` it, along a tree."""
        tf.raw_ops.CollectiveBcastSendV2(input=value, **self._group, instance_key=instance)

    def receive(self, shape: Sequence[int], dtype: tf.DType, instance: int) -> tf.Tensor:
        """The value of this shape and type that one member sends."""
        return tf.raw_ops.CollectiveBcastRecvV2(shape=shape, T=dtype, **self._group, instance_key=instance)

    def ranked(self, index: int, instance: int) -> list[int]:
        """The workers' indices in the order of their ranks, which need not be that of the indices (2 after 10)."""
        return [int(member) for member in self.gather(tf.constant([index], tf.float32), instance).numpy()]

    def _call(self, instance: int) -> dict[str, Any]:
        return {**self._group, "instance_key": instance, "ordering_token": [self._token.handle]}
