"""The towers and their replicas: the only file with tf.device."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

from pipeline.engine import forward, state
from pipeline.engine.topology import Topology
from pipeline.errors import DivergedError

READ_AHEAD = 2  # elements that wait in the memory of a tower's device


class Placed(NamedTuple):
    """Sums, and the tower they lie on."""

    tower: int
    sums: forward.ShardSums


@contextlib.contextmanager
def on_host(topology: Topology) -> Iterator[None]:
    """Operations inside belong to no tower: they lie on the host, where tables of examples must stay."""
    with tf.device(topology.host):
        yield


@contextlib.contextmanager
def on_tower(topology: Topology, tower: int) -> Iterator[None]:
    """Operations inside lie on the tower's device."""
    with tf.device(topology.devices[tower]):
        yield


def _scope(name: str):
    """The name scope, entered again where it was entered before (without the slash TensorFlow would make it name_1)."""
    return tf.name_scope(f"{name}/")


class Towers:
    """The devices of one worker, and the copies of the state that they hold."""

    def __init__(self, topology: Topology, variables: str, values: state.Values):
        """variables: 'replicated' (one copy on every tower), 'cpu' or 'first' (one copy there), or 'auto'."""
        self._topology = topology
        if variables == "auto":  # towers of one memory gain nothing by copies, each of which must be updated
            variables = "first" if all(map(topology.on_cpu, range(topology.num_towers))) else "replicated"
        if variables == "replicated":
            homes = [(device, f"tower_{tower}") for tower, device in enumerate(topology.devices)]
        else:
            homes = [(topology.host if variables == "cpu" else topology.devices[0], "")]
        self.replicas = [self._create(values, device, scope) for device, scope in homes]

    @staticmethod
    def _create(values: state.Values, device: str, scope: str) -> state.Replica:
        with tf.device(device):
            return state.Replica.create(values, device, scope)

    def load(self, values: state.Values) -> None:
        """Gives every replica these values in place of its own."""
        for replica in self.replicas:
            with self.at(replica):
                replica.write(values)

    def __len__(self) -> int:
        return self._topology.num_towers

    @contextlib.contextmanager
    def on(self, tower: int) -> Iterator[None]:
        """Operations inside lie on the tower's device, in the scope tower_K."""
        with on_tower(self._topology, tower), _scope(f"tower_{tower}"):
            yield

    def on_host(self) -> contextlib.AbstractContextManager[None]:
        """Operations inside belong to no tower."""
        return on_host(self._topology)

    @contextlib.contextmanager
    def at(self, replica: state.Replica) -> Iterator[None]:
        """Operations inside lie where the replica does."""
        with tf.device(replica.device), _scope(replica.scope or "shared"):
            yield

    @property
    def topology(self) -> Topology:
        """Where they lie, and those of the other workers."""
        return self._topology

    def shards_of(self, tower: int, grad_shards: int) -> range:
        """The consecutive shards that a tower computes."""
        return self._topology.shards_of(tower, grad_shards)

    def read(self, tower: int) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The parameters and statistics as they are now, on the tower's device."""
        replica = self.replicas[tower if len(self.replicas) > 1 else 0]
        with self.at(replica):
            values = [[v.read_value() for v in group] for group in (replica.parameters, replica.statistics)]
        if len(self.replicas) > 1:
            return values[0], values[1]
        with self.on(tower):
            parameters, statistics = tf.nest.map_structure(tf.identity, values)
        return parameters, statistics

    def add(self, left: Placed, right: Placed) -> Placed:
        """The element-wise sum, computed on the left one's tower."""
        with self.on(left.tower), tf.name_scope("reduce"):
            return Placed(left.tower, forward.add(left.sums, right.sums))

    def iterators(self, datasets: Sequence[tf.data.Dataset]) -> list[tf.data.Iterator]:
        """One iterator a tower, reading ahead into the memory of its device; read it by `next_of`."""
        # With tf.data's tuner of parallelism on, deleting an iterator stalled at times for seconds (TensorFlow 2.21);
        # as it seems, its thread sleeps through its cancellation. With it off no stall was seen.
        options = tf.data.Options()
        options.autotune.enabled = False
        return [self._iterator(tower, dataset.with_options(options)) for tower, dataset in enumerate(datasets)]

    def _iterator(self, tower: int, dataset: tf.data.Dataset) -> tf.data.Iterator:
        device = self._topology.devices[tower]
        if self._topology.on_cpu(tower):
            # The host's memory is that of all its towers; prefetch_to_device would go through remote calls for nothing.
            with self.on_host():
                return iter(dataset.prefetch(READ_AHEAD))
        with tf.device(device):
            return iter(dataset.apply(tf.data.experimental.prefetch_to_device(device, READ_AHEAD)))

    def next_of(self, tower: int, iterator: tf.data.Iterator):
        """The next element of the tower's iterator, in the memory of its device."""
        with self.on_host() if self._topology.on_cpu(tower) else self.on(tower):
            return iterator.get_next()

    def next_of_all(self, iterators: Sequence[tf.data.Iterator]) -> tuple[list, tf.Tensor]:
        """The next element of every tower's iterator, and the seconds that passed until the last was there."""
        with self.on_host():
            began = tf.timestamp()
        with tf.control_dependencies([began]):
            elements = [self.next_of(tower, iterator) for tower, iterator in enumerate(iterators)]
        with self.on_host(), tf.control_dependencies(tf.nest.flatten(elements)):
            seconds = tf.timestamp() - began
        # With one thread between operations, training would else come before the second look at the clock.
        with tf.control_dependencies([seconds]):
            return [self._passed_on(tower, element) for tower, element in enumerate(elements)], seconds

    def _passed_on(self, tower: int, element):
        """A CPU tower's element as it is; a GPU's kernels hold no thread of the host, and need no wait for it."""
        if not self._topology.on_cpu(tower):
            return element
        with self.on_host():
            return tf.nest.map_structure(tf.identity, element)

    def check_equal(self, step: int) -> state.Snapshot:
        """The state, after comparing every replica's hash. Raises DivergedError naming the replicas that differ."""
        values = [replica.read() for replica in self.replicas]
        hashes = [state.sha256(v) for v in values]
        wrong = [replica.device for replica, h in zip(self.replicas, hashes, strict=True) if h != hashes[0]]
        if wrong:
            raise DivergedError(
                f"at step {step} the replicas on {', '.join(wrong)} are not equal to the one on "
                f"{self.replicas[0].device}; resume from the last checkpoint, and suspect that device's memory"
            )
        return values[0]
