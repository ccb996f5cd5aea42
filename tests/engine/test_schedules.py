"""The learning rate at chosen steps, by hand: the ends, the middle, and beyond."""

import math

import pytest
import tensorflow as tf

from pipeline import config
from pipeline.config import Config
from pipeline.engine import schedules
from pipeline.errors import UsageError


def rate(step, **settings):
    settings = {"learning_rate": 0.5, "decay_steps": 100, **settings}
    value = schedules.learning_rate(Config(**settings), tf.constant(step, tf.int64))
    assert value.dtype == tf.float32 and value.shape == ()
    return float(value)


PIECES = {"schedule": "piecewise", "piecewise": "10:0.1,50:0.02"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant"}, {0: 0.5, 99: 0.5, 100: 0.5, 10**12: 0.5}),
        ({"schedule": "linear"}, {0: 0.5, 1: 0.495, 25: 0.375, 99: 0.005, 100: 0.0, 10**12: 0.0}),
        ({"schedule": "cosine"}, {0: 0.5, 25: 0.25 + 0.25 * math.sqrt(0.5), 50: 0.25, 100: 0.0, 10**12: 0.0}),
        ({"schedule": "exponential", "decay_rate": 0.01}, {0: 0.5, 50: 0.05, 100: 0.005, 10**12: 0.005}),
        (PIECES, {0: 0.5, 9: 0.5, 10: 0.1, 49: 0.1, 50: 0.02, 100: 0.02, 10**12: 0.02}),
        ({**PIECES, "piecewise": "0:0.3,7:0"}, {0: 0.3, 6: 0.3, 7: 0.0}),
        ({"schedule": "linear", "final_rate": 0.1}, {0: 0.5, 25: 0.4, 100: 0.1, 10**12: 0.1}),
        ({"schedule": "cosine", "final_rate": 0.1, "warmup_steps": 20}, {9: 0.5 * 10 / 21, 20: 0.5, 60: 0.3, 100: 0.1}),
        ({"schedule": "onecycle", "final_rate": 0.1}, {30: 0.5, 65: 0.3, 100: 0.1}),
        ({"schedule": "onecycle"}, {0: 0.5 / 31, 15: 0.5 * 16 / 31, 30: 0.5, 65: 0.25, 100: 0.0, 10**12: 0.0}),
        ({"schedule": "onecycle", "warmup_steps": 9}, {0: 0.05, 4: 0.25, 9: 0.5, 100: 0.0}),
        # A warm-up of 3 steps rises by quarters; the schedule then has what is left until decay_steps.
        ({"schedule": "constant", "warmup_steps": 3}, {0: 0.125, 1: 0.25, 2: 0.375, 3: 0.5, 4: 0.5}),
        ({"schedule": "constant", "warmup_steps": 100}, {99: 0.5 * 100 / 101, 100: 0.5, 101: 0.5}),
        ({"schedule": "linear", "warmup_steps": 20}, {9: 0.5 * 10 / 21, 20: 0.5, 60: 0.25, 100: 0.0}),
        ({"schedule": "cosine", "warmup_steps": 20}, {9: 0.5 * 10 / 21, 20: 0.5, 60: 0.25, 100: 0.0}),
        ({"schedule": "exponential", "warmup_steps": 20}, {0: 0.5 / 21, 20: 0.5, 100: 0.05}),
        ({**PIECES, "warmup_steps": 19}, {0: 0.025, 10: 0.1 * 11 / 20, 19: 0.1, 50: 0.02}),
    ],
)
def test_rate_by_hand(settings, expected):
    for step, value in expected.items():
        assert rate(step, **settings) == pytest.approx(value, rel=1e-6, abs=1e-9), step


@pytest.mark.parametrize("schedule", config.SCHEDULES)
def test_every_schedule_stays_between_zero_and_its_peak(schedule):
    piecewise = "10:0.1,50:0.02" if schedule == "piecewise" else ""
    rates = [rate(step, schedule=schedule, piecewise=piecewise, warmup_steps=5) for step in range(120)]
    assert max(rates) == 0.5 and min(rates) >= 0.0
    assert rates[:5] == sorted(rates[:5]) and rates[5:] == sorted(rates[5:], reverse=True)


def test_the_rate_is_computed_in_the_graph_of_the_step():
    traces = []

    @tf.function
    def traced(step):
        traces.append(step)
        return schedules.learning_rate(Config(schedule="cosine", learning_rate=0.5, decay_steps=100), step)

    assert [float(traced(tf.constant(s, tf.int64))) for s in (0, 50, 100)] == [
        rate(s, schedule="cosine") for s in (0, 50, 100)
    ]
    assert len(traces) == 1


def test_a_warm_up_as_long_as_the_schedule_is_refused():
    with pytest.raises(UsageError, match=r"^warmup_steps=100 leaves no step.* step 100; lower --warmup_steps"):
        Config(schedule="linear", warmup_steps=100, decay_steps=100).validate()
    assert rate(99, schedule="linear", warmup_steps=99) == pytest.approx(0.5)
