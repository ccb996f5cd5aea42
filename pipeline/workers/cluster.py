"""The workers of a job together: they start TensorFlow's runtime, add gradients, and share bytes.

All workers must call the same methods in the same order. With one worker they cost nothing.
"""

import contextlib
import hashlib
import json
from typing import Any

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.eager import context

from pipeline.config import Config
from pipeline.engine import clock, exchange, hardware
from pipeline.engine.exchange import Total
from pipeline.engine.forward import ShardSums
from pipeline.engine.topology import Topology
from pipeline.engine.towers import on_host, on_tower
from pipeline.workers.collectives import Group
from pipeline.workers.gradient_sum import GradientSum
from pipeline.workers.hosts import Hosts

REGISTER_S = 20  # for all workers' runtimes to come up, after the workers have met
_TOWERS = 1  # the key of the group of all workers' first towers


class Cluster:
    """The workers of a job, from the view of one of them."""

    def __init__(self, topology: Topology, config: Config):
        self._topology, self._workers = topology, topology.workers
        self._config = config

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
        self._hosts = Hosts(self._topology)
        self._by_nccl = self._has_gpus_of_its_own()
        with self._summing():
            towers = Group(_TOWERS, self._workers.count, "nccl" if self._by_nccl else "ring")
            self._gradient_sum = GradientSum(towers, self._workers.index, self._config)

    def _has_gpus_of_its_own(self) -> bool:
        """Whether each worker's first tower is a GPU that no other's is. NCCL refuses two workers on one GPU."""
        kind, index = self._topology.towers[0]
        own = "" if kind == "CPU" else hardware.gpu_uuid(index // (self._config.logical_gpus or 1))
        uuids = self.gather(own.encode())
        return all(uuids) and len(set(uuids)) == len(uuids)

    def _summing(self) -> contextlib.AbstractContextManager[None]:
        """Places the sum over workers: on the first tower, or where GPUs cannot reach each other, on the host."""
        if self._by_nccl or self._topology.on_cpu(0):
            return on_tower(self._topology, 0)
        return on_host(self._topology)

    def _bound_waiting(self) -> None:
        """Makes TensorFlow give up a worker that is gone. By default its start waits an hour, and blocks all of Python.

        There is no public function for this (TensorFlow 2.21). The strategy keeps an existing configuration.
        """
        context.context().configure_coordination_service(
            "standalone",
            service_leader="/job:worker/replica:0/task:0",
            cluster_register_timeout_in_ms=REGISTER_S * 1000,
            heartbeat_timeout_in_ms=self._config.stall_timeout * 1000,
            coordinated_jobs=[CoordinatedJob(name="worker", num_tasks=self._workers.count)],
        )
        context.context().coordination_service.cluster_register_with_barrier = True  # else worker 0 waits on

    def add(self, own: ShardSums, step: tf.Tensor, asked: tf.Tensor) -> Total:
        """The sums over all workers, each of which gives its own on its first tower, with the sum of what they ask for.

        asked: [] float32, what this worker asks for, see `exchange`.
        """
        if self.alone:
            return exchange.alone(own, step, asked)
        with on_host(self._topology), tf.control_dependencies(own.gradients):
            arrived = self._arrived.assign(step)
            with tf.control_dependencies([arrived]):
                began = clock.now()
        with self._summing(), tf.name_scope("all_reduce"):
            others = [tf.cast(tensor, tf.float32) for tensor in (asked, own.loss, own.correct, *own.statistics)]
            added = self._gradient_sum.added(own.gradients, others)
            gradients, (asking, loss, correct, *statistics) = added[: len(own.gradients)], added[len(own.gradients) :]
            sums = ShardSums(loss, correct, gradients, statistics)
        with on_host(self._topology), tf.control_dependencies(added):
            return Total(sums, asking, clock.now() - began)

    @property
    def arrived(self) -> int:
        """The last step of which this worker has computed its own part; -1 before the first. For any thread."""
        return int(self._arrived.numpy())

    def broadcast(self, payload: bytes) -> bytes:
        """The chief's bytes, on every worker."""
        return payload if self.alone else self._hosts.from_chief(payload)

    def gather(self, payload: bytes) -> list[bytes]:
        """Every worker's bytes, on every worker, in the order of their indices."""
        return [payload] if self.alone else self._hosts.gather(payload)

    def unequal(self, value: Any) -> list[str]:
        """The names of the workers whose value, of types of JSON, is not the chief's. All workers call it.

        Only where hashes differ do the values travel.
        """
        told = json.dumps(value, sort_keys=True).encode()
        if self.alone or self._hosts.all_have(hashlib.sha256(told).digest()):
            return []
        chiefs, *others = map(json.loads, self.gather(told))
        return [f"worker {index}" for index, own in enumerate(others, start=1) if own != chiefs]

    def barrier(self) -> None:
        """Returns when every worker has called it."""
        if not self.alone:
            self._hosts.all_have(b"")

    def part(self) -> None:
        """Returns when every worker has called it, and this one may end without breaking what others still do.

        The last call of all.
        """
        if not self.alone:
            self._hosts.part()
