import pytest
import tensorflow as tf

from pipeline.engine import loss_scale, state
from pipeline.engine.loss_scale import GOOD_STEPS, GROW_AFTER, LEAST, MOST, SCALE, SKIPPED_STEPS, START
from pipeline.engine.state import Replica


def after(scale: float, good: int, finite: bool, going: bool = True) -> tuple[float, int, int]:
    """Scale, good steps and skipped steps after one step."""
    values = loss_scale.initial()
    replica = Replica.create(values, "CPU:0", "")
    replica.variables[SCALE].assign(scale)
    replica.variables[GOOD_STEPS].assign(good)
    loss_scale.update(replica.variables, tf.constant(finite), tf.constant(going))
    found = state.arrays(replica.read())
    assert {name: value.dtype for name, value in found.items()} == {n: v.dtype for n, v in values.items()}
    return float(found[SCALE]), int(found[GOOD_STEPS]), int(found[SKIPPED_STEPS])


@pytest.mark.parametrize(
    "scale, good, finite, expected",
    [
        (START, 0, True, (START, 1, 0)),
        (START, GROW_AFTER - 2, True, (START, GROW_AFTER - 1, 0)),
        (START, GROW_AFTER - 1, True, (START * 2, 0, 0)),
        (MOST, GROW_AFTER - 1, True, (MOST, 0, 0)),
        (START, 17, False, (START / 2, 0, 1)),
        (LEAST, 17, False, (LEAST, 0, 1)),
    ],
)
def test_one_step(scale, good, finite, expected):
    assert after(scale, good, finite) == expected


def test_a_state_without_a_scale_has_none():
    assert loss_scale.read({}) is None


def test_a_step_after_a_divergence_changes_nothing():
    assert after(START, GROW_AFTER - 1, True, going=False) == (START, GROW_AFTER - 1, 0)
    assert after(START, 17, False, going=False) == (START, 17, 0)
