"""The slow copies of --lookahead: by hand, exact over stops and towers, and no move where a step does not count."""

import numpy as np
import pytest
import tensorflow as tf
from small_run import train, trainer
from test_averaging import group, one_by_one

from pipeline.engine import lookahead, state
from pipeline.text.flag_values import Lookahead

LAST, PERIOD, KEPT, POWER = 6, 3, 0.5, 2
MODEL = {"model": "models_for_tests:normalized", "optimizer": "momentum", "decay_steps": LAST}
COPIED = MODEL | {"lookahead": f"{PERIOD}:{KEPT}:{POWER}"}
SLOW = {"parameters": "slow", "statistics": "slow_statistics"}


@pytest.fixture(scope="module")
def copied() -> list[state.Values]:
    """The states at steps 0 to LAST."""
    return one_by_one(LAST, **COPIED)


def test_every_few_steps_both_meet_and_between_them_the_copies_rest(copied):
    for step in range(LAST):
        before, after = copied[step], copied[step + 1]
        alone = {name: value for name, value in before.items() if not name.startswith("slow")}
        moved = train(step, step + 1, 1, alone, **MODEL)  # by the step's update alone
        kept = KEPT * ((step + 1) / LAST) ** POWER
        for fast, slow in SLOW.items():
            assert group(after, slow).keys() == group(after, fast).keys() != set()
            for path, value in group(after, slow).items():
                if (step + 1) % PERIOD:
                    np.testing.assert_array_equal(value, before[f"{slow}/{path}"])
                    np.testing.assert_array_equal(after[f"{fast}/{path}"], moved[f"{fast}/{path}"])
                else:
                    expected = kept * before[f"{slow}/{path}"] + (1 - kept) * moved[f"{fast}/{path}"]
                    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
                    np.testing.assert_array_equal(value, after[f"{fast}/{path}"])
    assert state.parameters_sha256(copied[LAST]) != state.parameters_sha256(moved)


@pytest.mark.parametrize("stop", [1, 4])
def test_they_are_part_of_what_a_resume_goes_on_with_on_any_number_of_towers(copied, stop):
    resumed = train(stop, LAST, 4 // stop, copied[stop], **COPIED)
    assert state.sha256(resumed) == state.sha256(copied[LAST])


def test_averages_are_of_what_the_parameters_come_to(copied):
    averaged = train(2, 3, 1, train(0, 2, 1, **COPIED, ema=0.5), **COPIED, ema=0.5)
    before = train(0, 2, 1, **COPIED, ema=0.5)
    for path, value in group(averaged, "parameters").items():
        decay = 2 / (2 + 9)
        expected = decay * before[f"ema/{path}"] + (1 - decay) * value
        np.testing.assert_allclose(averaged[f"ema/{path}"], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(value, copied[3][f"parameters/{path}"])


def test_a_step_that_diverges_moves_none(copied):
    values = dict(copied[5])
    values["parameters/logits/kernel"] = np.full_like(values["parameters/logits/kernel"], np.nan)
    run = trainer(2, values, **COPIED)
    assert run.advance(5, LAST).diverged
    assert state.sha256(run.towers.check_equal(5)) == state.sha256(values)


def test_a_masked_move_changes_nothing_and_others_keep_their_bits():
    found = []
    for mask, step in ((None, 5), (tf.constant(True), 5), (tf.constant(False), 5), (tf.constant(True), 4), (None, 4)):
        current, copy = tf.Variable([0.3, -2.0]), tf.Variable([1.1, 0.7])
        lookahead.update([current], [copy], Lookahead(2, 0.9), 10, tf.constant(step, tf.int64), mask)
        found.append((current.numpy().tolist(), copy.numpy().tolist()))
    untouched = tuple(tf.constant(values).numpy().tolist() for values in ([0.3, -2.0], [1.1, 0.7]))
    assert found[0] == found[1] != untouched
    assert found[2:] == [untouched] * 3
    assert found[0][0] == found[0][1]
