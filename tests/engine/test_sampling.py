"""Balanced sampling: every class equally often, every example of a class as often as the others of it."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from pipeline.engine.plan import Plan
from pipeline.engine.sampling import Balanced
from pipeline.errors import BadDataError

LABELS = np.int32([2, 0, 1, 0, 0, 2, 0, 0])  # 5, 1 and 2 examples
NAMES = ("ant", "bee", "cow")
EPOCH = 3 * 5
FIRST = [2, 2, 1, 2, 5, 2, 7, 6, 3, 0, 0, 4]


def indices(labels, positions, seed=1):
    return Balanced(labels, NAMES).indices(seed, tf.constant(positions, tf.int64)).numpy()


@pytest.fixture(scope="module")
def long():
    """Seven epochs."""
    return indices(LABELS, range(7 * EPOCH)).reshape(7, EPOCH)


def test_every_class_comes_equally_often_in_every_epoch(long):
    for epoch in long:
        assert Counter(LABELS[epoch].tolist()) == {0: 5, 1: 5, 2: 5}
    assert len({tuple(LABELS[epoch].tolist()) for epoch in long}) == 7  # in another order each time


def test_examples_of_a_class_come_equally_often_over_the_epochs(long):
    for epochs in range(1, 8):
        times = Counter(long[:epochs].ravel().tolist())
        for c in range(3):
            own = [times[i] for i in np.flatnonzero(c == LABELS).tolist()]
            assert max(own) - min(own) <= 1
    assert sum(times.values()) == 7 * EPOCH


def test_a_position_is_a_function_of_itself_and_the_seed(long):
    for position in (0, 14, 15, 57, 104):
        assert indices(LABELS, [position]).tolist() == [long.ravel()[position]]
    assert indices(LABELS, range(105), seed=2).tolist() != long.ravel().tolist()
    far = indices(LABELS, [2**60 + i for i in range(EPOCH)])
    assert far.min() >= 0 and far.max() < len(LABELS)


def test_the_first_indices_never_change():
    assert indices(LABELS, range(12)).tolist() == FIRST


def test_neighbours_are_of_one_class_as_often_as_by_chance():
    labels = np.int32([0] * 200 + [1] * 20 + [2] * 20)
    found = labels[indices(labels, range(600))]
    assert 0.25 < (found[::2] == found[1::2]).mean() < 0.42


def test_examples_of_several_classes_are_of_each_and_those_of_none_are_a_class_of_their_own():
    labels = np.int32([[0, 1], [1, -1], [0, 2], [-1, -1], [0, -1]])  # 3, 2, 1 and 1 of none
    found = Counter(indices(labels, range(4 * 3 * 6)).tolist())
    # 18 times each class: 6 each of the examples 0, 2 and 4; 9 of 0 and 1; 18 of 2; 18 of 3
    assert found == {0: 6 + 9, 1: 9, 2: 6 + 18, 3: 18, 4: 6}


def test_a_class_without_examples_is_refused():
    with pytest.raises(BadDataError, match=r"^sampling=balanced: class bee has no training examples; add some, take"):
        Balanced(np.int32([0, 2, 2]), NAMES)


def test_a_plan_follows_it():
    balanced = Balanced(LABELS, NAMES)
    plan = Plan(seed=1, global_batch=6, grad_shards=3, num_examples=8, sampling=balanced)
    expected = balanced.indices(1, tf.range(12, 18, dtype=tf.int64)).numpy().tolist()
    assert plan.indices(plan.positions(2, range(3))).numpy().tolist() == expected
