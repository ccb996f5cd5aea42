"""Runs on examples of several labels, with weights and balanced sampling: equal bits on any number of towers."""

import numpy as np
import pytest
import tensorflow as tf
from small_run import SHARDS, assembly, config, topology, train, trainer

from pipeline.engine import checks, state
from pipeline.engine.batches import Batches
from pipeline.errors import UsageError
from pipeline.sources import fingerprints

RECIPE = {
    "model": "models_for_tests:linear",
    "optimizer": "sgd",
    "multi_label": True,
    "sampling": "balanced",
    "label_smoothing": 0.1,
    "augment": "mixup:0.4,cutmix:1",
    "source": "fake:120",
}


@pytest.fixture(scope="module")
def straight():
    return train(0, 3, towers=1, **RECIPE)


def test_any_number_of_towers_and_a_resume_end_on_the_same_bits(straight):
    halfway = train(0, 2, towers=4, **RECIPE)
    assert state.sha256(train(2, 3, towers=2, values=halfway, **RECIPE)) == state.sha256(straight)


@pytest.mark.parametrize("other", [{"sampling": "once"}, {"label_smoothing": 0.0}, {"augment": ""}])
def test_each_part_of_the_recipe_counts(straight, other):
    assert state.sha256(train(0, 3, towers=1, **{**RECIPE, **other})) != state.sha256(straight)


def test_the_loss_of_a_step_by_hand():
    fields = {**RECIPE, "augment": "", "sampling": "once", "class_weights": "balanced"}
    parts = assembly(1, **fields)
    images, labels = Batches(parts.plan, parts.splits.train, multi_label=True).at(4, range(SHARDS))
    pixels, has = images.numpy().reshape(16, -1) / 255, labels.numpy().reshape(16, 10)
    assert set(np.unique(has)) == {0, 1}
    [kernel] = parts.initial().values()
    p = 1 / (1 + np.exp(-pixels @ kernel.astype(np.float64)))
    table = parts.splits.train.labels
    share = np.array([(table == c).any(axis=1).mean() for c in range(10)])
    target = 0.9 * has + 0.05
    terms = -target * np.log(p) / (2 * share) - (1 - target) * np.log(1 - p) / (2 * (1 - share))
    assert trainer(1, **fields).gradient(4).loss == pytest.approx(terms.mean(), rel=1e-5)


def test_a_rechecked_step_takes_the_labels_of_its_shard():
    fields = {**RECIPE, "augment": ""}
    run = trainer(2, **fields)
    for step in range(2):
        todo = checks.checks(topology(2), SHARDS, step)
        _, evidence = run.advance_rechecked(step, todo)
        for check in todo:
            assert evidence.own[check.owner].any()
            np.testing.assert_array_equal(evidence.own[check.owner], evidence.again[check.checker])
    assert state.sha256(state.arrays(run.towers.check_equal(2))) == state.sha256(train(0, 2, **fields))


def test_pairs_of_several_labels_are_mixed_like_their_images():
    parts = assembly(1, **RECIPE)
    mixed = Batches(parts.plan, parts.splits.train, parts.config.augmentation, multi_label=True).at(1, range(SHARDS))[1]
    plain = Batches(parts.plan, parts.splits.train, multi_label=True).at(1, range(SHARDS))[1]
    pairs, own = (tf.reshape(labels, [8, 2, 10]).numpy() for labels in (mixed, plain))
    for (a, b), (left, right) in zip(pairs, own, strict=True):
        for row, first, second in ((a, left, right), (b, right, left)):
            differ = first != second
            if differ.any():
                [share] = set(((row - second)[differ] / (first - second)[differ]).tolist())
                assert 0 <= share <= 1
                np.testing.assert_array_equal(row[~differ], first[~differ])


def test_weights_of_a_file_are_part_of_the_data(tmp_path):
    prints = []
    for weights in ("1\n" * 10, "2\n" * 10, "1\n" * 9 + "2\n"):
        (tmp_path / "weights").write_text(weights)
        parts = assembly(1, class_weights=f"{tmp_path}/weights", source="fake:120")
        prints.append(parts.spec.fingerprint)
    assert prints[0] == prints[1] != prints[2]  # all 1 and all 2 are the same weights
    assert fingerprints.differences(prints[0], prints[2]) == "class weights in train"
    assert assembly(1, source="fake:120").spec.fingerprint == prints[0].partition("; train class weights")[0]


def test_balanced_twice_is_refused():
    with pytest.raises(UsageError, match="class_weights=balanced and sampling=balanced both make up for classes of"):
        config(class_weights="balanced", sampling="balanced")
