"""Bytes between the hosts of all workers, outside of the steps, in about log2(W) rounds or along a tree."""

import numpy as np
import tensorflow as tf

from pipeline.engine.topology import Topology
from pipeline.engine.towers import on_host
from pipeline.workers import doubling
from pipeline.workers.collectives import Group

CHUNK = 1 << 20  # integers of 4 bytes that are sent at once: while one goes on along the tree, the next one follows
_ALL, _PAIRS = 1 << 20, 1 << 21  # the key of the group of all, and the first one of the groups of two
_FIRST_INSTANCE = 1 << 24  # of these collectives; those of the step come before


class Hosts:
    """The hosts of all workers, from the view of one of them. There are several.

    All workers must call the same methods in the same order.
    """

    def __init__(self, topology: Topology):
        self._topology, self._workers = topology, topology.workers
        self._all = self._group(_ALL, self._workers.count)
        self._pairs: dict[int, _Pair] = {}

    def gather(self, payload: bytes) -> list[bytes]:
        """Every worker's bytes, on every worker, in the order of their indices."""
        return doubling.gathered(payload, self._workers.index, self._workers.count, self._exchange)

    def all_have(self, digest: bytes) -> bool:
        """Whether all workers' bytes are equal, on every worker; as many on each, a multiple of 4."""
        return doubling.all_equal(digest, self._workers.index, self._workers.count, self._exchange)

    def part(self) -> None:
        """Returns when every worker has called it, and none needs this one any more. Nothing follows."""
        doubling.part(self._workers.index, self._workers.count, self._exchange, tf.errors.OpError)

    def from_chief(self, payload: bytes) -> bytes:
        """The chief's bytes, on every worker; those of the others do not count."""
        size = int(self._sent(np.asarray([len(payload)], np.int64))[0])
        if not self._workers.is_chief:
            payload = b"\0" * size
        own = np.frombuffer(payload + b"\0" * (-size % 4), np.int32)
        chunks = [self._sent(own[first : first + CHUNK]) for first in range(0, len(own), CHUNK)]
        return np.concatenate([*chunks, own[:0]]).tobytes()[:size]

    def _group(self, key: int, size: int) -> Group:
        with on_host(self._topology):
            return Group(key, size, "ring")

    def _exchange(self, partner: int, own: np.ndarray) -> np.ndarray:
        """The partner's [n] int32, which gets this worker's."""
        if partner not in self._pairs:
            low, high = sorted((self._workers.index, partner))
            group = self._group(_PAIRS + low * self._workers.count + high, 2)
            self._pairs[partner] = _Pair(group, self._workers.index, self._topology)
        return self._pairs[partner].exchange(own)

    def _sent(self, value: np.ndarray) -> np.ndarray:
        """The chief's value, on every worker; one of the same shape and type is what others bring."""
        instance = _FIRST_INSTANCE + 2 * value.size + (value.dtype == np.int64)
        with on_host(self._topology):
            if self._workers.is_chief:
                self._all.send(tf.constant(value), instance)
                return value
            return self._all.receive(value.shape, tf.as_dtype(value.dtype), instance).numpy()


class _Pair:
    """This worker and another one."""

    def __init__(self, group: Group, index: int, topology: Topology):
        self._group, self._topology = group, topology
        with on_host(topology):
            self._place = group.ranked(index, _FIRST_INSTANCE).index(index)

    def exchange(self, own: np.ndarray) -> np.ndarray:
        """The other one's [n] int32, which gets this one's."""
        with on_host(self._topology):
            both = self._group.gather(tf.constant(own), _FIRST_INSTANCE + own.size).numpy()
        return both.reshape(2, -1)[1 - self._place]
