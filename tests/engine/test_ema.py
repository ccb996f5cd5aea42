"""The moving averages of --ema: by hand, exact over stops and towers, and in the place of parameters."""

import numpy as np
import pytest
import tensorflow as tf
from small_run import assembly, train, trainer
from test_averaging import group, one_by_one

from pipeline.engine import ema, state
from pipeline.engine.evaluation import Evaluator

LAST, DECAY = 6, 0.3
MODEL = {"model": "models_for_tests:normalized", "optimizer": "momentum"}
AVERAGED = MODEL | {"ema": DECAY}


@pytest.fixture(scope="module")
def averaged() -> list[state.Values]:
    """The states at steps 0 to LAST."""
    return one_by_one(LAST, **AVERAGED)


def test_they_follow_parameters_and_statistics_and_change_neither(averaged):
    """The decays are 0, 1 / 10, 2 / 11, ... until DECAY; a run without averages has the same parameters."""
    plain = one_by_one(LAST, **MODEL)
    for name, values in (("parameters", "ema"), ("statistics", "ema_statistics")):
        means = group(plain[0], name)
        assert means.keys() == group(averaged[0], values).keys() and means
        for step, after in enumerate(plain[1:]):
            decay = min(DECAY, step / (step + 9))
            current = group(after, name)
            means = {path: decay * mean + (1 - decay) * current[path] for path, mean in means.items()}
            for path, mean in means.items():
                np.testing.assert_allclose(averaged[step + 1][f"{values}/{path}"], mean, rtol=1e-5, atol=1e-6)
                np.testing.assert_array_equal(averaged[step + 1][f"{name}/{path}"], current[path])


@pytest.mark.parametrize("stop", [1, 4])
def test_they_are_part_of_what_a_resume_goes_on_with_on_any_number_of_towers(averaged, stop):
    resumed = train(stop, LAST, 4 // stop, averaged[stop], **AVERAGED)
    assert state.sha256(resumed) == state.sha256(averaged[LAST])


def test_a_step_that_diverges_moves_none(averaged):
    values = dict(averaged[4])
    values["parameters/logits/kernel"] = np.full_like(values["parameters/logits/kernel"], np.nan)
    run = trainer(2, values, **AVERAGED)
    assert run.advance(4, LAST).diverged
    assert state.sha256(run.towers.check_equal(4)) == state.sha256(values)


def test_a_masked_move_changes_nothing_and_others_keep_their_bits():
    found = []
    for mask in (None, tf.constant(True), tf.constant(False)):
        current, average = tf.Variable([0.3, -2.0]), tf.Variable([1.1, 0.7])
        ema.update([current], [average], 0.9, tf.constant(5, tf.int64), mask)
        found.append(average.numpy().tolist())
    assert found[0] == found[1] != found[2] == tf.constant([1.1, 0.7]).numpy().tolist()


def test_an_evaluation_takes_them_as_one_of_their_values_in_place_does(averaged):
    parts = assembly(2, **AVERAGED)
    in_place = ema.in_place(averaged[LAST])
    assert list(in_place) == list(averaged[LAST])
    raw, moved, placed = (
        Evaluator(parts.model, parts.towers(values), 5, ema=how)(parts.splits.test)
        for values, how in ((averaged[LAST], False), (averaged[LAST], True), (in_place, False))
    )
    assert moved == placed != raw


def test_a_state_without_them_says_so():
    values = assembly(**MODEL).initial()
    assert not ema.is_in(values) and ema.is_in(assembly(**AVERAGED).initial())
