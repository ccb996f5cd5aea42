"""Which things are due at a step, as a table."""

import pytest

from pipeline.config import Config
from pipeline.runs.cadence import Cadence

NEVER = {"log_every": 0, "eval_every": 0, "checkpoint_every": 0, "summary_every": 0, "steps": 100}


def cadence(**fields) -> Cadence:
    return Cadence.from_config(Config(**(NEVER | fields)))


@pytest.mark.parametrize(
    ("fields", "step", "boundary"),
    [
        ({}, 0, 10),  # steps_per_loop
        ({}, 95, 100),  # the end
        ({"log_every": 7}, 0, 7),
        ({"log_every": 7}, 7, 14),
        ({"eval_every": 9, "checkpoint_every": 4}, 1, 4),
        ({"summary_every": 3, "steps_per_loop": 50}, 3, 6),
        ({"recheck_every": 5}, 0, 4),
        ({"recheck_every": 5}, 4, 5),  # the rechecked step has a call of its own
        ({"recheck_every": 5}, 5, 9),
        ({"recheck_every": 1}, 3, 4),
        ({"steps_per_loop": 50}, 0, 50),
        ({"profile": "10:12"}, 0, 10),
        ({"profile": "10:12"}, 9, 10),
        ({"profile": "10:12"}, 10, 11),  # every step that is traced has a call of its own
        ({"profile": "10:12"}, 11, 12),
        ({"profile": "10:12"}, 12, 22),
    ],
)
def test_training_goes_up_to_the_next_step_at_which_anything_is_due(fields, step, boundary):
    assert cadence(**fields).next_boundary(step) == boundary


def due(name: str, **fields) -> list[int]:
    """The steps from 0 to 12 at which it is due."""
    return [step for step in range(13) if getattr(cadence(**fields), name)(step)]


@pytest.mark.parametrize(
    ("name", "field"), [("logs", "log_every"), ("evaluates", "eval_every"), ("saves", "checkpoint_every")]
)
def test_an_interval_is_due_at_its_multiples_and_never_at_step_0(name, field):
    assert due(name, **{field: 5}) == [5, 10]
    assert due(name) == []


def test_a_step_is_rechecked_if_it_ends_at_a_multiple():
    assert due("rechecks", recheck_every=5) == [4, 9]
    assert due("rechecks", recheck_every=1) == list(range(13))
    assert due("rechecks") == []


def test_gradients_are_shown_at_step_0_too_and_parameters_with_them_with_evaluations_and_at_the_end():
    assert due("shows_gradients", summary_every=6) == [0, 6, 12]
    assert due("shows_parameters", summary_every=6, eval_every=5, steps=11) == [0, 5, 6, 10, 11, 12]
    assert due("shows_gradients") == [] and due("shows_parameters", steps=3) == [3]
