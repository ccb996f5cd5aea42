"""The collective operations of a job's workers. Only this file touches TensorFlow's collective runtime.

All workers must call the same methods in the same order. With one worker they cost nothing.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.eager import context

from pipeline.config import Config
from pipeline.engine import exchange, reduce
from pipeline.engine.exchange import Total
from pipeline.engine.forward import ShardSums
from pipeline.engine.topology import Topology
from pipeline.engine.towers import on_host, on_tower

REGISTER_S = 20  # after the workers have met, their runtimes must come up within this time
BUCKET = 1 << 20  # elements that are packed into one all-reduce; a larger tensor has its own
_ALL = 1  # the key of the group of all workers, on the towers; a pair's key depends on its round and first member
_HOSTS = 1 << 20  # the key of the group of all workers, on the hosts
_FIRST_INSTANCE, _FIRST_EAGER_INSTANCE = 1, 1 << 24  # instance keys of the step's collectives, and of the others


class Cluster:
    """The workers of a job, from the view of one of them."""

    def __init__(self, topology: Topology, config: Config):
        self._topology, self._workers = topology, topology.workers
        self._exact, self._wire = config.all_reduce == "exact", tf.as_dtype(config.wire)
        self._stall_timeout = config.stall_timeout
        self._last_instance = _FIRST_EAGER_INSTANCE

    @property
    def alone(self) -> bool:
        """Whether there is only one worker."""
        return self._workers.count == 1

    def start(self) -> None:
        """Brings the runtime up. Returns when all workers' runtimes are connected.

        Call it before anything is placed on a device.
        """
        if self.alone:
            return
        spec = tf.train.ClusterSpec({"worker": list(self._workers.addresses)})
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            spec, task_type="worker", task_id=self._workers.index, rpc_layer="grpc"
        )
        self._bound_waiting()
        # The public way to start TensorFlow's runtime. The strategy has no other use here.
        tf.distribute.MultiWorkerMirroredStrategy(resolver)
        with on_host(self._topology):
            self._arrived = tf.Variable(-1, dtype=tf.int64, name="arrived")
            self._host_token = tf.Variable(0.0, name="ordering_token")
        with on_tower(self._topology, 0):
            self._token = tf.Variable(0.0, name="ordering_token")

    def _bound_waiting(self) -> None:
        """Makes TensorFlow give up a worker that is gone. By default its start waits an hour, and blocks all of Python.

        There is no public function for this (TensorFlow 2.21). The strategy keeps an existing configuration.
        """
        context.context().configure_coordination_service(
            "standalone",
            service_leader="/job:worker/replica:0/task:0",
            cluster_register_timeout_in_ms=REGISTER_S * 1000,
            heartbeat_timeout_in_ms=self._stall_timeout * 1000,
            coordinated_jobs=[CoordinatedJob(name="worker", num_tasks=self._workers.count)],
        )
        context.context().coordination_service.cluster_register_with_barrier = True  # else worker 0 waits on

    def add(self, own: ShardSums, step: tf.Tensor, asked: tf.Tensor) -> Total:
        """The sums over all workers, each of which gives its own on its first tower, with the number that ask to stop.

        asked: [] float32, 1 if this worker asks to stop.
        """
        if self.alone:
            return exchange.alone(own, step, asked)
        with on_host(self._topology), tf.control_dependencies(own.gradients):
            arrived = self._arrived.assign(step)
            with tf.control_dependencies([arrived]):
                began = tf.timestamp()
        with on_tower(self._topology, 0), tf.name_scope("all_reduce"):
            others = [tf.cast(tensor, tf.float32) for tensor in (asked, own.loss, own.correct, *own.statistics)]
            added = self._added(own.gradients, others)
            gradients, (asking, loss, correct, *statistics) = added[: len(own.gradients)], added[len(own.gradients) :]
            sums = ShardSums(loss, tf.cast(correct, tf.int32), gradients, statistics)
        with on_host(self._topology), tf.control_dependencies(added):
            return Total(sums, asking, tf.timestamp() - began)

    @property
    def arrived(self) -> int:
        """The last step of which this worker has computed its own part; -1 before the first. For any thread."""
        return int(self._arrived.numpy())

    def _added(self, gradients: Sequence[tf.Tensor], others: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The sums of float32 tensors over all workers, on the device in force, the first tower's.

        exact: the tree of `reduce.tree` over the workers, with equal bits on all. fast: one ring, whose bits depend on
        the number of workers. --wire rounds only the gradients.
        """
        if self._wire == tf.float32:
            return self._all_reduce([*gradients, *others], tf.float32, _FIRST_INSTANCE)
        rounded = self._all_reduce(gradients, self._wire, _FIRST_INSTANCE)
        return rounded + self._all_reduce(others, tf.float32, _FIRST_INSTANCE + len(gradients) * self._keys)

    def _all_reduce(self, tensors: Sequence[tf.Tensor], wire: tf.DType, instance: int) -> list[tf.Tensor]:
        sums: dict[int, tf.Tensor] = {}
        # The last layers' gradients are ready first: they travel while the first layers' are computed.
        order = list(reversed(range(len(tensors))))
        for number, bucket in enumerate(reduce.buckets([tensors[i].shape.num_elements() for i in order], BUCKET)):
            members = [order[place] for place in bucket]
            packed = tf.concat([tf.reshape(tf.cast(tensors[i], wire), [-1]) for i in members], 0)
            total = tf.cast(self._sum(packed, instance + number * self._keys), tf.float32)
            parts = tf.split(total, [tensors[i].shape.num_elements() for i in members])
            sums |= {i: tf.reshape(part, tensors[i].shape) for i, part in zip(members, parts, strict=True)}
        return [sums[i] for i in range(len(tensors))]

    def _sum(self, value: tf.Tensor, instance: int) -> tf.Tensor:
        if not self._exact:
            return self._reduce(value, _ALL, self._workers.count, instance)
        for number, exchanges in enumerate(reduce.rounds(self._workers.count)):
            value = self._run_round(value, number, exchanges, instance + number * (1 + self._workers.count))
        return value

    @property
    def _keys(self) -> int:
        """The number of instance keys that one `_sum` may use. All uses of a key must have one type and size."""
        return (1 + self._workers.count) * max(len(reduce.rounds(self._workers.count)), 1)

    def _run_round(self, value: tf.Tensor, number: int, exchanges: reduce.Round, instance: int) -> tf.Tensor:
        """This worker's value after a round. Both sides of an exchange use one key, and no other exchange uses it."""
        count, own = self._workers.count, self._workers.index
        group = _ALL + 1 + number * 2 * count
        for pair in exchanges.pairs:
            if own in pair:
                value = self._reduce(value, group + pair[0], 2, instance)
        for source, target in exchanges.copies:
            if own in (source, target):
                value = self._copy(value, own == source, group + count + target, instance + 1 + target)
        return value

    def _reduce(self, value: tf.Tensor, group: int, size: int, instance: int) -> tf.Tensor:
        communication = "ring" if self._topology.on_cpu(0) else "nccl"
        return self._collective(value, group, size, instance, self._token, communication)

    @staticmethod
    def _collective(
        value: tf.Tensor, group: int, size: int, instance: int, token: tf.Variable, communication: str
    ) -> tf.Tensor:
        """The sum over the members of a group.

        `token` puts a device's collectives into one order: two that run at once can deadlock.
        """
        return tf.raw_ops.CollectiveReduceV2(
            input=value,
            group_size=size,
            group_key=group,
            instance_key=instance,
            ordering_token=[token.handle],
            merge_op="Add",
            final_op="Id",
            communication_hint=communication,
            max_subdivs_per_device=0,
        )

    def _copy(self, value: tf.Tensor, sends: bool, group: int, instance: int) -> tf.Tensor:
        """The sender's value, on both sides. It travels as integers, where adding zeros changes no bit."""
        bits = tf.bitcast(tf.cast(value, tf.float32), tf.int32)
        sent = self._reduce(bits if sends else tf.zeros_like(bits), group, 2, instance)
        return tf.cast(tf.bitcast(sent, tf.float32), value.dtype)

    def broadcast(self, payload: bytes) -> bytes:
        """The chief's bytes, on every worker."""
        return payload if self.alone else self.gather(payload if self._workers.is_chief else b"")[0]

    def gather(self, payload: bytes) -> list[bytes]:
        """Every worker's bytes, on every worker, in the order of their indices."""
        if self.alone:
            return [payload]
        sizes = self._sum_over_all(self._at_own_place(np.asarray([len(payload)], np.int32), [1] * self._workers.count))
        words = [-(-int(size) // 4) for size in sizes]
        own = np.frombuffer(payload.ljust(words[self._workers.index] * 4, b"\0"), np.int32)
        parts = np.split(self._sum_over_all(self._at_own_place(own, words)), np.cumsum(words)[:-1])
        return [part.tobytes()[: int(size)] for part, size in zip(parts, sizes, strict=True)]

    def _at_own_place(self, own: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
        """Zeros, [sum(sizes)], with this worker's integers at its place. The sum over workers holds all parts."""
        places = [np.zeros(size, own.dtype) for size in sizes]
        places[self._workers.index] = own
        return np.concatenate(places)

    def _sum_over_all(self, values: np.ndarray) -> np.ndarray:
        if not values.size:
            return values
        self._last_instance += 1
        with on_host(self._topology):
            total = self._collective(
                tf.constant(values), _HOSTS, self._workers.count, self._last_instance, self._host_token, "ring"
            )
            return total.numpy()

    def unequal(self, value: Any) -> list[str]:
        """The names of the workers whose value, of types of JSON, is not the chief's. All workers call it."""
        chiefs, *others = map(json.loads, self.gather(json.dumps(value).encode()))
        return [f"worker {index}" for index, own in enumerate(others, start=1) if own != chiefs]

    def barrier(self) -> None:
        """Returns when every worker has called it."""
        self.gather(b"")
