"""The towers and their replicas, and where their operations lie."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from pipeline.engine import clock, forward, state
from pipeline.engine.topology import Topology
from pipeline.errors import DivergedError

READ_AHEAD = 2  # elements that are kept ready in the memory of a tower's device


class Placed(NamedTuple):
    """Sums, and the tower that holds them."""

    tower: int
    sums: forward.ShardSums


@contextlib.contextmanager
def on_host(topology: Topology) -> Iterator[None]:
    """Places the operations inside on the host. They belong to no tower. Tables of examples must lie there."""
    with tf.device(topology.host):
        yield


@contextlib.contextmanager
def on_tower(topology: Topology, tower: int) -> Iterator[None]:
    """Places the operations inside on the tower's device."""
    with tf.device(topology.devices[tower]):
        yield


def _scope(name: str) -> contextlib.AbstractContextManager[str]:
    """The name scope. A scope that was entered before is entered again: without the slash it would become name_1."""
    return tf.name_scope(f"{name}/")


class Towers:
    """The devices of one worker, and the copies of the state that they hold."""

    def __init__(self, topology: Topology, variables: str, values: state.Values):
        """variables: 'replicated' (one copy on every tower), 'cpu' or 'first' (one copy there), or 'auto'."""
        self._topology = topology
        if variables == "auto":  # towers that share a memory gain nothing by copies, which all must be updated
            variables = "first" if topology.all_on_cpu else "replicated"
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
        """Sets every replica to these values."""
        for replica in self.replicas:
            with self.at(replica):
                replica.write(values)

    def __len__(self) -> int:
        return self._topology.num_towers

    @contextlib.contextmanager
    def on(self, tower: int) -> Iterator[None]:
        """Places the operations inside on the tower's device, in the scope tower_K."""
        with on_tower(self._topology, tower), _scope(f"tower_{tower}"):
            yield

    def on_host(self) -> contextlib.AbstractContextManager[None]:
        """Places the operations inside on the host; they belong to no tower."""
        return on_host(self._topology)

    @contextlib.contextmanager
    def at(self, replica: state.Replica) -> Iterator[None]:
        """Places the operations inside on the replica's device."""
        with tf.device(replica.device), _scope(replica.scope or "shared"):
            yield

    @property
    def run_behind(self) -> bool:
        """Whether the towers compute while the host goes on. Then the host must not wait for a number of theirs."""
        return not self._topology.all_on_cpu

    @property
    def update_elsewhere(self) -> bool:
        """Whether the variables lie on a device of another kind than the towers."""
        return not self._topology.all_on_cpu and self.replicas[0].device == self._topology.host

    @property
    def topology(self) -> Topology:
        """The topology that these towers are made from."""
        return self._topology

    def shards_of(self, tower: int, grad_shards: int) -> range:
        """The consecutive shards that a tower computes."""
        return self._topology.shards_of(tower, grad_shards)

    def read(self, tower: int, ema: bool = False) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The present parameters and statistics, on the tower's device. ema: their moving averages."""
        replica = self.replicas[tower if len(self.replicas) > 1 else 0]
        groups = replica.ema if ema else (replica.parameters, replica.statistics)
        with self.at(replica):
            values = [[v.read_value() for v in group] for group in groups]
        if len(self.replicas) > 1:
            return values[0], values[1]
        with self.on(tower):
            parameters, statistics = tf.nest.map_structure(tf.identity, values)
        return parameters, statistics

    def add(self, left: Placed, right: Placed) -> Placed:
        """The element-wise sum, computed on the tower of `left`."""
        with self.on(left.tower), tf.name_scope("reduce"):
            return Placed(left.tower, forward.add(left.sums, right.sums))

    def iterators(self, datasets: Sequence[tf.data.Dataset]) -> list[tf.data.Iterator]:
        """One iterator for each tower. It reads ahead into the memory of the tower's device; `next_of` reads it."""
        # With tf.data's autotuner on, deleting an iterator stalled at times for seconds (TensorFlow 2.21), probably
        # because the tuner's thread sleeps through its cancellation. With the autotuner off no stall was seen.
        options = tf.data.Options()
        options.autotune.enabled = False
        return [self._iterator(tower, dataset.with_options(options)) for tower, dataset in enumerate(datasets)]

    def _iterator(self, tower: int, dataset: tf.data.Dataset) -> tf.data.Iterator:
        device = self._topology.devices[tower]
        if self._topology.on_cpu(tower):
            # CPU towers share the host's memory: prefetch_to_device would only add remote calls.
            with self.on_host():
                return iter(dataset.prefetch(READ_AHEAD))
        with tf.device(device):
            return iter(dataset.apply(tf.data.experimental.prefetch_to_device(device, READ_AHEAD)))

    def next_of(self, tower: int, iterator: tf.data.Iterator) -> Any:
        """The next element of the tower's iterator, in the memory of its device."""
        with self.on_host() if self._topology.on_cpu(tower) else self.on(tower):
            return iterator.get_next()

    def next_of_all(self, iterators: Sequence[tf.data.Iterator]) -> tuple[list, tf.Tensor]:
        """The next element of every tower's iterator, and the seconds until the last of them was ready."""
        with self.on_host():
            began = clock.now()
        with tf.control_dependencies([began]):
            elements = [self.next_of(tower, iterator) for tower, iterator in enumerate(iterators)]
        with self.on_host(), tf.control_dependencies(tf.nest.flatten(elements)):
            seconds = clock.now() - began
        # Without this, a single inter-op thread could run the training before the second look at the clock.
        with tf.control_dependencies([seconds]):
            return [self._passed_on(tower, element) for tower, element in enumerate(elements)], seconds

    def _passed_on(self, tower: int, element: Any) -> Any:
        """The element, which a CPU tower gets only after the wait. A GPU's kernels hold no thread of the host."""
        if not self._topology.on_cpu(tower):
            return element
        with self.on_host():
            return tf.nest.map_structure(tf.identity, element)

    def seconds_of(self, batches: Sequence[Any], leaves: Sequence[Placed]) -> tf.Tensor:
        """The seconds from the examples of a step to the last sums of each tower: [towers] float64.

        0 where towers run behind the host, which would have to wait for them.
        """
        with self.on_host():
            if self.run_behind:
                return tf.zeros([len(self)], tf.float64)
            with tf.control_dependencies(tf.nest.flatten(batches)):
                began = clock.now()
            ends = []
            for tower in range(len(self)):
                with tf.control_dependencies(tf.nest.flatten([leaf.sums for leaf in leaves if leaf.tower == tower])):
                    ends.append(clock.now())
            return tf.stack(ends) - began

    def check_equal(self, step: int) -> state.Snapshot:
        """The state, after comparing every replica's bytes. Raises DivergedError naming the replicas that differ."""
        first = self.replicas[0].read()
        wrong = [replica.device for replica in self.replicas[1:] if not state.are_equal(first, replica.read())]
        if wrong:
            raise DivergedError(
                f"at step {step} the replicas on {', '.join(wrong)} are not equal to the one on "
                f"{self.replicas[0].device}; resume from the last checkpoint, and suspect that device's memory"
            )
        return first
