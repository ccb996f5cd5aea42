"""The mean of --average: against a run without it, and against itself over stops and towers."""

import numpy as np
import pytest
from small_run import assembly, train, trainer

from pipeline.engine import loss_scale, state

LAST, FIRST, END = 9, 2, 6
AVERAGED = {"average": f"{FIRST}:{END}"}
HALF = {"precision": "float16", "model": "models_for_tests:linear"}


def group(values: state.Values, name: str) -> dict[str, np.ndarray]:
    """The arrays of one group, by their path."""
    return {path.removeprefix(f"{name}/"): value for path, value in values.items() if path.startswith(f"{name}/")}


def mean_by_hand(states: list[state.Values]) -> dict[str, np.ndarray]:
    """Of the parameters, in float64."""
    several = [group(values, "parameters") for values in states]
    return {path: np.mean([values[path] for values in several], axis=0, dtype=np.float64) for path in several[0]}


def one_by_one(last: int, values: state.Values | None = None, **fields) -> list[state.Values]:
    """The states at steps 0 to `last` of a run that takes them one by one."""
    run = trainer(1, values, **fields)
    states = [state.arrays(run.towers.check_equal(0))]
    for step in range(last):
        run.advance(step, step + 1)
        states.append(state.arrays(run.towers.check_equal(step + 1)))
    return states


@pytest.fixture(scope="module")
def plain() -> list[state.Values]:
    """The states at steps 0 to END of a run that takes no mean."""
    return one_by_one(END)


@pytest.fixture(scope="module")
def averaged() -> list[state.Values]:
    """The states at steps 0 to LAST of a run that takes the mean."""
    return one_by_one(LAST, **AVERAGED)


@pytest.mark.parametrize("towers", [1, 4])
def test_the_mean_of_the_parameters_after_each_step_takes_their_place(plain, towers):
    averaged = train(0, END, towers, **AVERAGED)
    by_hand = mean_by_hand(plain[FIRST + 1 :])
    assert len(by_hand) == 5
    for path, value in group(averaged, "parameters").items():
        np.testing.assert_allclose(value, by_hand[path], rtol=1e-5, atol=1e-6)
        assert np.abs(value - plain[END][f"parameters/{path}"]).max() > 1e-4
        np.testing.assert_array_equal(value, averaged[f"averages/{path}"])
    for name in ("slots", "statistics"):
        assert state.sha256(group(averaged, name)) == state.sha256(group(plain[END], name))


def test_until_its_last_step_nothing_is_changed(plain):
    before = train(0, END - 1, 2, **AVERAGED)
    assert state.sha256(before | group_at_zero(before)) == state.sha256(plain[END - 1] | group_at_zero(before))
    begun = train(0, FIRST, 2, **AVERAGED)
    assert state.sha256(begun) == state.sha256(begun | group_at_zero(begun))


def group_at_zero(values: state.Values) -> state.Values:
    return {f"averages/{path}": np.zeros_like(value) for path, value in group(values, "averages").items()}


def test_training_goes_on_from_it(averaged):
    at_end, straight = averaged[END], averaged[LAST]
    without = {name: value for name, value in at_end.items() if not name.startswith("averages/")}
    from_mean = train(END, LAST, 1, without)
    assert state.sha256({name: straight[name] for name in from_mean}) == state.sha256(from_mean)
    assert state.sha256(group(straight, "averages")) == state.sha256(group(at_end, "averages"))


@pytest.fixture(scope="module")
def resuming(averaged):
    """A trainer on four towers that takes the mean, to be loaded with a state."""
    return trainer(4, **AVERAGED)


@pytest.mark.parametrize("stop", [0, 1, FIRST, 4, END - 1, END, 7])
def test_it_is_part_of_what_a_resume_goes_on_with(averaged, resuming, stop):
    resuming.towers.load(averaged[stop])
    resuming.advance(stop, LAST)
    assert state.sha256(state.arrays(resuming.towers.check_equal(LAST))) == state.sha256(averaged[LAST])


def test_a_step_that_float16_skips_counts_with_the_parameters_it_left():
    start = assembly(**HALF).initial() | {loss_scale.SCALE: np.float32(2.0**24)}
    states = one_by_one(12, start, **HALF)
    assert 0 < states[-1][loss_scale.SKIPPED_STEPS] < 12
    settings = HALF | {"average": "0:12"}
    averaged = train(0, 12, 2, start | group_at_zero(assembly(**settings).initial()), **settings)
    [(path, by_hand)] = mean_by_hand(states[1:]).items()
    np.testing.assert_allclose(averaged[f"parameters/{path}"], by_hand, rtol=1e-5, atol=1e-7)


def test_a_step_that_diverges_changes_no_mean():
    values = train(0, 4, 1, **AVERAGED)
    broken = next(name for name in values if name.startswith("parameters/"))
    values[broken] = np.full_like(values[broken], np.nan)
    run = trainer(2, values, **AVERAGED)
    assert run.advance(4, END).diverged
    assert state.sha256(run.towers.check_equal(4)) == state.sha256(values)
