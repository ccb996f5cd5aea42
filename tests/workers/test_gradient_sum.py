"""The sum over workers, each a thread here; between them lies a group that counts instead of TensorFlow's."""

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

    def __init__(self, workers: int):
        self.ranked = sorted(range(workers), key=str)  # as TensorFlow ranks tasks: 10 before 2
        self._barrier = threading.Barrier(workers, timeout=60)
        self._brought: list = [None] * workers

    def all_of(self, index: int, value):
        self._brought[index] = value
        self._barrier.wait()
        found = [self._brought[member] for member in self.ranked]
        self._barrier.wait()
        return found


class CountingGroup:
    """Stands for collectives.Group: one thread's side, which counts the elements that leave it."""

    def __init__(self, meeting: Meeting, index: int, size: int):
        self._meeting, self._index, self.size = meeting, index, size
        self.sent, self.instances = 0, []

    def ranked(self, index, instance):
        self.instances.append(instance)
        return list(self._meeting.ranked)

    def sum(self, value, instance):
        self.instances.append(instance)
        self.sent += 2 * (self.size - 1) * int(tf.size(value)) // self.size
        return sum(self._meeting.all_of(self._index, value))

    def exchange(self, parts, instance):
        assert parts.shape[0] == self.size
        self.instances.append(instance)
        self.sent += (self.size - 1) * int(tf.size(parts[0]))
        rank = self._meeting.ranked.index(self._index)
        return tf.stack([parts_of_one[rank] for parts_of_one in self._meeting.all_of(self._index, parts)])

    def gather(self, value, instance):
        self.instances.append(instance)
        self.sent += (self.size - 1) * int(tf.size(value))
        return tf.concat(self._meeting.all_of(self._index, value), 0)


SHAPES = [(40, 50), (3,), (), (5, 5, 7)]
OTHERS = [(), (4,)]


def tensors(worker: int, shapes) -> list[tf.Tensor]:
    draws = np.random.default_rng(worker)
    return [tf.constant(np.float32(draws.normal(size=s) * 10.0 ** draws.integers(-6, 7, s))) for s in shapes]


def added(workers: int, shapes=SHAPES, **flags) -> tuple[list[list[tf.Tensor]], list[CountingGroup]]:
    """What every worker has in the end, and its side of the group."""
    meeting = Meeting(workers)
    groups = [CountingGroup(meeting, index, workers) for index in range(workers)]

    def work(index: int) -> list[tf.Tensor]:
        return GradientSum(groups[index], index, Config(**flags)).added(
            tensors(index, shapes), tensors(-index - 1 + 2**32, OTHERS)
        )

    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(work, range(workers))), groups


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


@pytest.mark.parametrize("workers", [2, 3, 4, 6, 11])
@pytest.mark.parametrize("all_reduce", ["exact", "fast"])
def test_each_worker_sends_what_a_ring_sends(workers, all_reduce):
    _, groups = added(workers, [(300, 200)], all_reduce=all_reduce)
    ring = 2 * (workers - 1) / workers * (300 * 200 + 5)
    assert [group.sent for group in groups] == pytest.approx([ring] * workers, rel=0.02)


def test_no_two_collectives_share_an_instance(monkeypatch):
    monkeypatch.setattr("pipeline.workers.gradient_sum.BUCKET", 100)
    for flags in ({}, {"wire": "bfloat16"}):
        _, groups = added(3, **flags)
        assert len(set(groups[0].instances)) == len(groups[0].instances) > 2 * len(SHAPES) - 2
        assert all(group.instances == groups[0].instances for group in groups)


def test_many_workers_pack_more_into_one_sum_without_a_change_of_bits(monkeypatch):
    monkeypatch.setattr("pipeline.workers.gradient_sum.BUCKET", 2000)
    monkeypatch.setattr("pipeline.workers.gradient_sum.MANY", 7)
    for all_reduce, buckets in (("exact", {6: 2, 7: 1}), ("fast", {6: 2, 7: 2})):
        for workers, number in buckets.items():
            found, groups = added(workers, all_reduce=all_reduce)
            collectives = number if all_reduce == "fast" else 1 + 2 * number  # with that of the ranks
            assert [len(group.instances) for group in groups] == [collectives] * workers
            if all_reduce == "exact":
                assert [bits(one) for one in found] == [bits(tree(workers))] * workers
