"""Examples with weights: their losses by hand, and equal bits on any number of towers."""

import numpy as np
import pytest
import tensorflow as tf
from small_run import SHARDS, assembly, config, topology, train, trainer

from pipeline.engine import checks, example_weights, state
from pipeline.engine.assembly import Assembly
from pipeline.engine.batches import Batches
from pipeline.engine.losses import BinaryCrossEntropy, CrossEntropy
from pipeline.errors import BadDataError
from pipeline.sources import fake
from pipeline.sources.base import ExampleSpec

RECIPE = {"model": "models_for_tests:linear", "optimizer": "sgd", "source": "fake:120"}
LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]], np.float32)
GIVEN = np.float32([3.0, 0.25])


@pytest.fixture
def weights(monkeypatch):
    """The weights of all fake examples: 0, 0.5, 1, 1.5, 2 in turn."""
    monkeypatch.setattr(fake.Fake, "weights", property(lambda source: np.float32(np.arange(len(source)) % 5 / 2)))


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (CrossEntropy(0.1), [0, 2]),
        (CrossEntropy(0.1, np.float32([1, 2, 3])), [0, 2]),
        (BinaryCrossEntropy(0.1), [[1.0, 0, 1], [0, 0, 0]]),
    ],
)
def test_each_loss_is_multiplied_by_its_weight_and_each_hit_counts_as_one(loss, labels):
    rows = example_weights.rows(tf.constant(labels), 3, tf.constant(GIVEN))
    weighted, logits = example_weights.Weighted(loss), tf.constant(LOGITS)
    shares = rows[:, :-1]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        found, plain = weighted.of_examples(logits, rows), loss.of_examples(logits, shares)
    np.testing.assert_allclose(found.numpy(), plain.numpy() * GIVEN, rtol=1e-6)
    gradients = [tape.gradient(losses, logits).numpy() for losses in (found, plain)]
    np.testing.assert_allclose(gradients[0], gradients[1] * GIVEN[:, None], rtol=1e-5)
    assert weighted.hits(logits, rows).numpy().tolist() == loss.hits(logits, shares).numpy().tolist()


def test_the_loss_of_a_step_by_hand(weights):
    parts = assembly(1, **RECIPE)
    train_split = parts.splits.train
    given = train_split.weights.astype(np.float64)
    indices = parts.plan.indices(parts.plan.positions(4, range(SHARDS))).numpy()
    raw, labels = train_split.fetch(tf.constant(indices))
    pixels = train_split.decode(raw).numpy().reshape(len(indices), -1) / 255
    [kernel] = parts.initial().values()
    logits = pixels @ kernel.astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    losses = -log_p[np.arange(len(indices)), labels.numpy()] * given[indices] / given.mean()
    assert trainer(1, **RECIPE).gradient(4).loss == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.parametrize("flags", [{}, {"multi_label": True, "augment": "mixup:0.4"}])
def test_any_number_of_towers_and_a_resume_end_on_the_same_bits(weights, flags):
    straight = train(0, 3, towers=1, **RECIPE, **flags)
    halfway = train(0, 2, towers=4, **RECIPE, **flags)
    assert state.sha256(train(2, 3, towers=2, values=halfway, **RECIPE, **flags)) == state.sha256(straight)


def test_weights_count_and_a_common_factor_does_not(weights, monkeypatch):
    first = state.sha256(train(0, 1, towers=1, **RECIPE))
    before = fake.Fake.weights.fget
    monkeypatch.setattr(fake.Fake, "weights", property(lambda source: 4 * before(source)))
    assert state.sha256(train(0, 1, towers=1, **RECIPE)) == first
    monkeypatch.setattr(fake.Fake, "weights", None)
    assert state.sha256(train(0, 1, towers=1, **RECIPE)) != first


def test_weights_that_are_all_0_are_refused(monkeypatch):
    monkeypatch.setattr(fake.Fake, "weights", property(lambda source: np.zeros(len(source), np.float32)))
    with pytest.raises(BadDataError, match=r"^all training examples have the weight 0; raise one$"):
        assert assembly(1, **RECIPE).loss


def test_a_rechecked_step_weighs_its_shard(weights):
    run = trainer(2, **RECIPE)
    todo = checks.checks(topology(2), SHARDS, 0)
    _, evidence = run.advance_rechecked(0, todo)
    for check in todo:
        np.testing.assert_array_equal(evidence.own[check.owner], evidence.again[check.checker])
    assert state.sha256(state.arrays(run.towers.check_equal(1))) == state.sha256(train(0, 1, towers=1, **RECIPE))


@pytest.mark.parametrize("flags", [{}, {"weights": np.float32([2] * 120)}])
def test_nothing_in_the_place_of_a_shard_has_its_shapes_and_types(flags):
    parts = assembly(1, **RECIPE)
    batches = Batches(parts.plan, parts.splits.train, **flags)
    shard, none = batches.of_shard(tf.constant(0, tf.int64), tf.constant(0, tf.int64)), batches.none_of_shard()
    assert [(t.shape, t.dtype) for t in none] == [(t.shape, t.dtype) for t in shard]


@pytest.mark.parametrize(
    ("flags", "said"),
    [({}, "examples"), ({"class_weights": "balanced"}, "classes and examples")],
)
def test_whose_weights_the_loss_has_is_told(weights, flags, said):
    assert assembly(1, **RECIPE, **flags).weighs == said


@pytest.mark.parametrize(
    ("flags", "kinds", "said"),
    [
        ({}, "", ""),
        ({}, "; train weights=2", "examples"),
        ({"class_weights": "balanced"}, "", "classes"),
        ({"class_weights": "FILE"}, "; train weights=2; train class weights=3", "classes and examples"),
    ],
)
def test_a_checkpoint_tells_whose_weights_the_loss_had(flags, kinds, said):
    """An evaluation may be on other data."""
    recorded = ExampleSpec((28, 28, 1), ("0", "1"), 9, f"train labels=1{kinds}")
    assert Assembly(config(**RECIPE, **flags), topology(1), recorded).weighs == said
