"""The sum over workers, each a thread here; between them lies a group that counts instead of TensorFlow's."""

import collections
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.engine import reduce
from pipeline.workers.gradient_sum import GradientSum


class Meeting:
    """Where threads meet: each brings a value and gets everyone's, in the order of ranks."""

    def __init__(self) -> None:
        self._brought: dict[tuple[int, int], dict[int, object]] = collections.defaultdict(dict)
        self._complete = threading.Condition()

    def all_of(self, key: int, instance: int, size: int, index: int, value) -> dict[int, object]:
        """What all members of a group bring to one collective, by index in the order of their ranks."""
        with self._complete:
            brought = self._brought[key, instance]
            assert index not in brought, "two collectives share an instance"
            brought[index] = value
            self._complete.notify_all()
            assert self._complete.wait_for(lambda: len(brought) >= size, timeout=60)
            assert len(brought) == size, "two groups share a key"
        return {member: brought[member] for member in sorted(brought, key=str)}  # as TensorFlow ranks them: 10 before 2


class CountingGroup:
    """Stands for collectives.Group: one thread's side, which counts what leaves it."""

    def __init__(self, meeting: Meeting, index: int, key: int, size: int, side: dict | None = None):
        self._meeting, self._index, self._key, self.size = meeting, index, key, size
        self.side = {"sent": 0, "messages": 0, "collectives": []} if side is None else side

    def subgroup(self, key, size):
        return CountingGroup(self._meeting, self._index, key, size, self.side)

    def ranked(self, index, instance):
        return list(self._all_of(index, instance))

    def sum(self, value, instance):
        self._count(2 * int(tf.size(value)) // self.size)
        return sum(self._all_of(value, instance).values())

    def exchange(self, parts, instance):
        assert parts.shape[0] == self.size
        self._count(int(tf.size(parts[0])))
        found = self._all_of(parts, instance)
        rank = list(found).index(self._index)
        return tf.stack([parts_of_one[rank] for parts_of_one in found.values()])

    def gather(self, value, instance):
        self._count(int(tf.size(value)))
        return tf.concat(list(self._all_of(value, instance).values()), 0)

    def _all_of(self, value, instance):
        self.side["collectives"].append((self._key, instance))
        return self._meeting.all_of(self._key, instance, self.size, self._index, value)

    def _count(self, elements: int) -> None:
        self.side["sent"] += (self.size - 1) * elements
        self.side["messages"] += self.size - 1


SHAPES = [(40, 50), (3,), (), (5, 5, 7)]
OTHERS = [(), (4,)]


def tensors(worker: int, shapes) -> list[tf.Tensor]:
    draws = np.random.default_rng(worker)
    return [tf.constant(np.float32(draws.normal(size=s) * 10.0 ** draws.integers(-6, 7, s))) for s in shapes]


def added(workers: int, shapes=SHAPES, **flags) -> tuple[list[list[tf.Tensor]], list[dict]]:
    """What every worker has in the end, and its side of the groups."""
    meeting = Meeting()
    groups = [CountingGroup(meeting, index, 1, workers) for index in range(workers)]

    def work(index: int) -> list[tf.Tensor]:
        return GradientSum(groups[index], index, Config(**flags)).added(
            tensors(index, shapes), tensors(-index - 1 + 2**32, OTHERS)
        )

    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(work, range(workers))), [group.side for group in groups]


def tree(workers: int, wire=tf.float32) -> list[tf.Tensor]:
    """The sums of the tree over the workers; each sum of gradients is rounded as the wire asks."""
    own = [[*(tf.cast(t, wire) for t in tensors(w, SHAPES)), *tensors(-w - 1 + 2**32, OTHERS)] for w in range(workers)]
    sums = reduce.tree(own, lambda a, b: [x + y for x, y in zip(a, b, strict=True)])
    return [tf.cast(value, tf.float32) for value in sums]


def bits(values: list[tf.Tensor]) -> list[tuple[tuple[int, ...], bytes]]:
    return [(tuple(value.shape), value.numpy().tobytes()) for value in values]


@pytest.mark.parametrize("workers", [2, 3, 4, 5, 6, 7, 8, 12, 13, 64])
def test_every_worker_has_the_sums_of_the_tree_to_the_bit(workers):
    found, _ = added(workers)
    assert [bits(one) for one in found] == [bits(tree(workers))] * workers


@pytest.mark.parametrize("workers", [2, 3, 4, 6])
def test_a_rounded_wire_rounds_every_sum_of_two_and_the_others_not_at_all(workers):
    found, _ = added(workers, wire="bfloat16")
    assert [bits(one) for one in found] == [bits(tree(workers, tf.bfloat16))] * workers
    assert bits(found[0][: len(SHAPES)]) != bits(tree(workers)[: len(SHAPES)])


@pytest.mark.parametrize("workers", [2, 3, 4, 6, 8, 11, 12])
@pytest.mark.parametrize("all_reduce", ["exact", "fast"])
def test_each_worker_sends_what_a_ring_sends(workers, all_reduce):
    _, sides = added(workers, [(300, 200)], all_reduce=all_reduce)
    ring = 2 * (workers - 1) / workers * (300 * 200 + 5)
    assert [side["sent"] for side in sides] == pytest.approx([ring] * workers, rel=0.02)


@pytest.mark.parametrize(("workers", "messages"), [(3, 2), (4, 2), (8, 3), (12, 2 + 2), (14, 1 + 6), (64, 6)])
def test_a_power_of_two_of_workers_sends_few_messages_each_way(workers, messages):
    _, sides = added(workers)
    assert [side["messages"] for side in sides] == [2 * messages] * workers


@pytest.mark.parametrize("workers", [3, 6])
def test_all_workers_call_as_many_collectives_of_a_group(workers, monkeypatch):
    """Each of them has an instance of its own in its group: the meeting refuses a second one."""
    monkeypatch.setattr("pipeline.workers.gradient_sum.BUCKET", 100)
    for flags in ({}, {"wire": "bfloat16"}):
        _, sides = added(workers, **flags)
        assert len({len(side["collectives"]) for side in sides}) == 1
        assert len(sides[0]["collectives"]) > 2 * len(SHAPES) - 2
