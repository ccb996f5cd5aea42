import numpy as np
import pytest
import tensorflow as tf

from pipeline.engine.plan import Plan, Rollback
from pipeline.errors import UsageError
from pipeline.random.keys import Purpose, _splitmix64, _uint64, fold_in, permutation, uniform

# splitmix64's first outputs from state 0, as published with the algorithm.
SPLITMIX_OUTPUTS = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
GOLDEN = 0x9E3779B97F4A7C15


def splitmix(x):
    """The same algorithm in Python's integers."""
    mask = 2**64 - 1
    x = (x + GOLDEN) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_mixing_is_splitmix64():
    states = [(i * GOLDEN) % 2**64 for i in range(3)]
    assert [splitmix(s) for s in states] == SPLITMIX_OUTPUTS
    assert [int(_splitmix64(_uint64(s))) for s in states] == SPLITMIX_OUTPUTS


def test_fold_in_is_the_chain_of_mixes():
    expected = splitmix((splitmix((splitmix(7) + 3) % 2**64) + 11) % 2**64)
    assert int(fold_in(7, Purpose.DROPOUT, 11)) == expected


def test_fold_in_broadcasts():
    steps = tf.range(4, dtype=tf.int64)
    together = fold_in(7, Purpose.DROPOUT, steps).numpy()
    assert together.tolist() == [int(fold_in(7, Purpose.DROPOUT, step)) for step in range(4)]


def test_neighbouring_seeds_share_nothing():
    keys = {int(fold_in(seed, purpose, i)) for seed in range(4) for purpose in Purpose for i in range(50)}
    assert len(keys) == 4 * len(Purpose) * 50


def test_uniform_is_keyed_to_the_position_and_fills_the_interval():
    positions = tf.range(20_000, dtype=tf.int64)
    numbers = uniform(1, Purpose.AUGMENTATION, positions, 3).numpy()
    assert numbers.shape == (20_000, 3) and numbers.min() >= 0 and numbers.max() < 1
    np.testing.assert_allclose(numbers.mean(axis=0), 0.5, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(numbers.T), np.eye(3), atol=0.03)
    alone = uniform(1, Purpose.AUGMENTATION, tf.constant([777], tf.int64), 3).numpy()
    np.testing.assert_array_equal(alone[0], numbers[777])


@pytest.mark.parametrize("num_examples", [1, 2, 3, 7, 64, 1000])
def test_every_example_exactly_once_an_epoch(num_examples):
    for epoch in range(3):
        positions = tf.range(epoch * num_examples, (epoch + 1) * num_examples, dtype=tf.int64)
        assert sorted(permutation(5, positions, num_examples).numpy()) == list(range(num_examples))


def test_epochs_and_seeds_differ():
    orders = [
        tuple(permutation(seed, tf.range(epoch * 100, (epoch + 1) * 100, dtype=tf.int64), 100).numpy())
        for seed in (1, 2)
        for epoch in range(2)
    ]
    assert len(set(orders)) == 4


def test_golden_first_indices():
    """Frozen: an upgrade that moves them would change every run that is under way."""
    indices = permutation(1, tf.range(8, dtype=tf.int64), 55_000).numpy().tolist()
    assert indices == [1368, 25992, 6046, 43004, 17433, 9353, 49337, 39511]


def test_a_batch_runs_across_the_end_of_an_epoch():
    p = Plan(seed=1, global_batch=8, grad_shards=2, num_examples=10)
    assert p.positions(1, range(0, 2)).numpy().tolist() == list(range(8, 16))
    both = np.concatenate([p.indices(p.positions(step, range(0, 2))).numpy() for step in range(5)])
    assert all(sorted(both[i : i + 10]) == list(range(10)) for i in range(0, 40, 10))


def test_shards_are_slices_of_the_batch():
    p = Plan(seed=1, global_batch=12, grad_shards=4, num_examples=100)
    whole = p.positions(3, range(0, 4)).numpy()
    parts = [p.positions(3, range(shard, shard + 1)).numpy() for shard in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_after_rollbacks_other_positions_follow_and_no_step_has_those_of_one_that_diverged():
    """From step 4 back to 3, from the new step 3 again, and from step 8 to 6: positions by hand."""
    rollbacks = (Rollback(3, 4), Rollback(3, 3), Rollback(6, 8))
    p = Plan(seed=1, global_batch=10, grad_shards=2, num_examples=100, rollbacks=rollbacks)
    firsts = [int(p.positions(step, range(0, 2))[0]) for step in range(8)]
    assert firsts == [0, 10, 20, 60, 70, 80, 120, 130]
    assert p.positions_of(tf.constant(6, tf.int64), tf.constant(1, tf.int64)).numpy().tolist() == list(range(125, 130))


def test_dropout_seeds_differ_between_steps_layers_and_shards_and_fit_int32():
    p = Plan(seed=1, global_batch=8, grad_shards=4, num_examples=100)
    seeds = np.stack([p.dropout_seeds(step, 3).numpy() for step in range(5)])
    assert seeds.shape == (5, 3, 4, 2) and seeds.min() >= 0 and seeds.max() < 2**31
    assert len(np.unique(seeds.reshape(-1, 2), axis=0)) == 60


def test_an_empty_split_is_refused():
    with pytest.raises(UsageError, match="0 examples"):
        Plan(seed=1, global_batch=10, grad_shards=1, num_examples=0)
