"""One step's numbers: against NumPy in float64, and against each other over towers and variable modes."""

import numpy as np
import pytest
from small_run import assembly, train, trainer

from pipeline.engine import exchange, loss_scale, state
from pipeline.engine.batches import Batches
from pipeline.engine.towers import Towers

KERNEL = "parameters/logits/kernel"
LINEAR = {"model": "models_for_tests:linear", "optimizer": "sgd", "learning_rate": 0.5}
NORMALIZED = {"model": "models_for_tests:normalized", "optimizer": "sgd"}
MODES = ("replicated", "cpu", "first")


def pixels_and_labels(parts, step: int) -> tuple[np.ndarray, np.ndarray]:
    """A step's examples by shard: [shards, shard_batch, pixels] float64 in [0, 1], and [shards, shard_batch]."""
    shards = parts.plan.grad_shards
    images, labels = Batches(parts.plan, parts.splits.train).at(step, range(shards))
    return images.numpy().reshape(shards, parts.plan.shard_batch, -1) / 255, labels.numpy()


def loss_and_gradient_by_hand(parts, step: int, kernel: np.ndarray) -> tuple[float, np.ndarray]:
    """Softmax regression without a bias, over the whole batch at once, in float64."""
    pixels, labels = pixels_and_labels(parts, step)
    pixels, one_hot = pixels.reshape(-1, pixels.shape[-1]), np.eye(10)[labels.reshape(-1)]
    logits = pixels @ kernel.astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(one_hot * log_p).sum(axis=1).mean(), pixels.T @ (np.exp(log_p) - one_hot) / len(pixels)


# --- the gradient ---


@pytest.mark.parametrize("towers", [1, 4])
def test_the_gradient_of_a_linear_model_is_the_one_made_by_hand(towers):
    parts = assembly(towers, **LINEAR)
    [kernel] = parts.initial().values()
    loss, by_hand = loss_and_gradient_by_hand(parts, 3, kernel)
    gradient = trainer(towers, **LINEAR).gradient(3)
    assert gradient.loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(gradient.by_parameter["logits/kernel"], by_hand, rtol=1e-4, atol=1e-7)


def test_the_gradient_of_four_towers_is_that_of_the_whole_batch_on_one():
    """In float32, sums of 64 examples in another order: within 1e-5 of each array's largest value."""
    model = {"model": "fully_connected", "global_batch": 64}
    split = trainer(4, grad_shards=8, **model).gradient(2)
    whole = trainer(1, grad_shards=1, **model).gradient(2)
    assert split.loss == pytest.approx(whole.loss, rel=1e-6)
    assert len(whole.by_parameter) == 6
    for name, gradient in whole.by_parameter.items():
        assert np.abs(gradient).max() > 1e-4
        np.testing.assert_allclose(split.by_parameter[name], gradient, rtol=0, atol=1e-5 * np.abs(gradient).max())


def test_a_step_is_taken_along_it():
    parts = assembly(2, **LINEAR)
    kernel = parts.initial()[KERNEL]
    for step in range(3):
        kernel = kernel - 0.5 * loss_and_gradient_by_hand(parts, step, kernel)[1]
    np.testing.assert_allclose(train(0, 3, 2, **LINEAR)[KERNEL], kernel, rtol=1e-4, atol=1e-6)


def test_the_outcome_is_of_the_last_step():
    parts, run = assembly(2, **LINEAR), trainer(2, **LINEAR)
    run.advance(0, 2)
    kernel = state.arrays(run.towers.check_equal(2))[KERNEL]
    outcome = run.advance(2, 3)
    loss, gradient = loss_and_gradient_by_hand(parts, 2, kernel)
    pixels, labels = pixels_and_labels(parts, 2)
    assert (outcome.next_step, outcome.diverged) == (3, False)
    assert outcome.loss == pytest.approx(loss, rel=1e-6)
    assert outcome.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    assert outcome.correct == ((pixels @ kernel).argmax(axis=-1) == labels).sum()
    assert outcome.learning_rate == 0.5


def test_a_gradient_beyond_the_norm_is_scaled_down_to_it():
    parts = assembly(2, **LINEAR)
    kernel = parts.initial()[KERNEL]
    _, gradient = loss_and_gradient_by_hand(parts, 0, kernel)
    norm = np.linalg.norm(gradient)
    run = trainer(2, clip_norm=norm / 4, **LINEAR)
    assert run.advance(0, 1).gradient_norm == pytest.approx(norm, rel=1e-5)
    clipped = state.arrays(run.towers.check_equal(1))[KERNEL]
    np.testing.assert_allclose(clipped, kernel - 0.5 * gradient / 4, rtol=1e-5, atol=1e-6)
    loose, free = (train(0, 2, 2, clip_norm=limit, **LINEAR) for limit in (norm * 4, 0.0))
    assert state.sha256(loose) == state.sha256(free)


# --- running statistics ---


def test_running_statistics_are_the_mean_of_what_each_shard_would_set():
    parts = assembly(4, **NORMALIZED)
    found = train(0, 1, 4, **NORMALIZED)
    pixels, _ = pixels_and_labels(parts, 0)
    for name, before, of_shard in [
        ("moving_mean", 0.0, pixels.mean(axis=1)),
        ("moving_variance", 1.0, pixels.var(axis=1)),
    ]:
        by_hand = (0.75 * before + 0.25 * of_shard).mean(axis=0)
        np.testing.assert_allclose(found[f"statistics/norm/{name}"], by_hand, rtol=1e-5)
    of_all = 0.75 + 0.25 * pixels.reshape(-1, pixels.shape[-1]).var(axis=0)
    assert np.abs(by_hand - of_all).max() > 1e-3  # so that the two ways can be told apart


# --- bits ---


def bits(towers: int, **fields) -> str:
    """The hash of everything after 6 Adam steps with dropout and batch normalization, in two calls."""
    run = trainer(towers, **fields)
    run.advance(0, 4)
    run.advance(4, 6)
    return state.state_sha256(run.towers.check_equal(6), 6)


@pytest.fixture(scope="module")
def bits_of_float32() -> str:
    return bits(1)


def test_every_number_of_towers_and_every_home_of_the_variables_gives_the_same_bits(bits_of_float32):
    """Other pairs than in test_bits.py, which has the real model."""
    pairs = [(2, "cpu"), (4, "replicated"), (4, "first")]
    found = {(towers, mode): bits(towers, variables=mode) for towers, mode in pairs}
    assert set(found.values()) == {bits_of_float32}, found


def test_the_number_of_shards_is_what_shows_in_the_bits(bits_of_float32):
    of_eight = bits(1, grad_shards=8)
    assert bits(8, grad_shards=8) == of_eight != bits_of_float32


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precisions_have_the_same_bits_on_other_numbers_of_towers_too(precision, bits_of_float32):
    found = {towers: bits(towers, precision=precision) for towers in (1, 4)}
    assert len(set(found.values())) == 1, found
    assert found[1] != bits_of_float32


def test_shared_variables_have_one_copy_and_replicated_ones_a_copy_on_every_tower():
    homes = {mode: [r.device[-5:] for r in trainer(4, variables=mode).towers.replicas] for mode in MODES}
    assert homes == {"replicated": ["CPU:0", "CPU:1", "CPU:2", "CPU:3"], "cpu": ["CPU:0"], "first": ["CPU:0"]}


# --- a gradient that is not finite ---


def test_a_step_that_is_not_finite_is_not_applied():
    """The rate throws the parameters so far that the step after it overflows; that one must leave no trace."""
    wild = {"optimizer": "momentum", "learning_rate": 1e38}
    run = trainer(2, **wild)
    outcome = run.advance(0, 10)
    step = int(outcome.next_step)
    assert outcome.diverged and 0 < step < 10
    assert not np.isfinite(outcome.loss) or not np.isfinite(outcome.gradient_norm)
    assert state.sha256(run.towers.check_equal(step)) == state.sha256(train(0, step, 2, **wild))


@pytest.mark.parametrize("mode", MODES)
def test_parameters_that_are_not_finite_stop_the_first_step(mode):
    values = assembly(**LINEAR).initial()
    values[KERNEL][5, 3] = np.inf
    run = trainer(2, values, variables=mode, **LINEAR)
    outcome = run.advance(7, 9)
    assert (outcome.next_step, outcome.diverged) == (7, True)
    assert state.sha256(run.towers.check_equal(7)) == state.sha256(values)


# --- float16 ---

HALF = {"precision": "float16", "optimizer": "momentum", "model": "models_for_tests:linear"}


def with_scale(scale: float) -> state.Values:
    return assembly(**HALF).initial() | {loss_scale.SCALE: np.float32(scale)}


def test_a_gradient_that_overflows_is_skipped_counted_and_halves_the_scale():
    before = with_scale(2.0**24)
    run = trainer(2, before, **HALF)
    outcome = run.advance(0, 1)
    after = run.towers.check_equal(1)
    assert (outcome.next_step, outcome.diverged) == (1, False) and not np.isfinite(outcome.gradient_norm)
    scale = {loss_scale.SCALE: np.float32(2.0**23), loss_scale.SKIPPED_STEPS: np.int64(1)}
    assert state.sha256(after) == state.sha256(before | scale)


def test_it_halves_until_the_gradient_fits_and_training_goes_on():
    after = train(0, 12, 2, with_scale(2.0**24), **HALF)
    skipped = int(after[loss_scale.SKIPPED_STEPS])
    assert 0 < skipped < 12 and 0 < after[loss_scale.GOOD_STEPS] <= 12 - skipped
    assert after[loss_scale.SCALE] == 2.0 ** (24 - skipped)
    np.testing.assert_array_equal(np.isfinite(after[KERNEL]), True)
    assert state.parameters_sha256(after) != state.parameters_sha256(with_scale(2.0**24))


def test_a_run_with_skipped_steps_resumes_exactly():
    straight = train(0, 12, 2, with_scale(2.0**24), **HALF)
    for stop in (1, 9):
        resumed = train(stop, 12, 4, train(0, stop, 1, with_scale(2.0**24), **HALF), **HALF)
        assert state.sha256(resumed) == state.sha256(straight)


def test_a_scale_that_cannot_be_halved_any_more_is_a_divergence():
    values = with_scale(loss_scale.LEAST)
    values[KERNEL][:] = np.nan
    run = trainer(2, values, **HALF)
    outcome = run.advance(4, 6)
    assert (outcome.next_step, outcome.diverged) == (4, True)


def test_gradient_and_loss_are_told_without_the_scale():
    parts = assembly(**HALF)
    loss, by_hand = loss_and_gradient_by_hand(parts, 0, parts.initial()[KERNEL])
    run = trainer(1, **HALF)
    gradient = run.gradient(0)
    assert gradient.loss == pytest.approx(loss, rel=1e-2)
    largest = np.abs(by_hand).max()
    np.testing.assert_allclose(gradient.by_parameter["logits/kernel"], by_hand, rtol=0, atol=0.02 * largest)
    assert run.advance(0, 1).loss == gradient.loss


@pytest.mark.parametrize(("asked", "stops", "saves"), [(exchange.STOP, True, True), (exchange.SAVE, False, True)])
def test_what_is_asked_for_is_known_after_one_step(asked, stops, saves):
    outcome = trainer(2).advance(3, 9, asked)
    assert (outcome.next_step, outcome.stops, outcome.saves) == (4, stops, saves)


# --- towers that run behind the host, as GPUs do: a step is masked where it does not apply ---


@pytest.fixture
def behind(monkeypatch):
    monkeypatch.setattr(Towers, "run_behind", True)


def test_masked_steps_have_the_bits_of_branches(behind, bits_of_float32):
    assert bits(2) == bits_of_float32


def test_a_masked_float16_step_that_overflows_changes_the_scale_alone(behind):
    test_a_gradient_that_overflows_is_skipped_counted_and_halves_the_scale()


def test_masked_steps_after_a_divergence_change_nothing(behind, monkeypatch, jit=False):
    """Step 2 has a poisoned example. Those after it in the call would be finite, and must not apply."""
    fields = {"model": "models_for_tests:poisoned", "optimizer": "sgd", "average": "0:6", "ema": 0.5, "jit": jit}
    parts = assembly(2, **fields)
    images, _ = Batches(parts.plan, parts.splits.train).at(2, range(1))
    monkeypatch.setenv("POISON", str(images.numpy()[0, 0].sum()))
    run = trainer(2, **fields)
    outcome = run.advance(0, 5)
    assert (outcome.next_step, outcome.diverged) == (2, True)
    left = state.sha256(run.towers.check_equal(2))
    run.towers.load(parts.initial())
    run.advance(0, 2)
    assert state.sha256(run.towers.check_equal(2)) == left
    assert run.advance(3, 5).next_step == 5, "the others have no poison"


def test_masked_steps_leave_the_mean_alone(behind, monkeypatch):
    fields = LINEAR | {"average": "2:3"}
    masked = train(0, 5, 2, **fields)
    monkeypatch.setattr(Towers, "run_behind", False)
    assert state.sha256(masked) == state.sha256(train(0, 5, 2, **fields))


# --- the update as one program of XLA, as GPUs have it with --jit ---

COMPILED = {
    "jit": True,
    "variables": "replicated",
    "clip_norm": 0.5,
    "average": "2:4",
    "ema": 0.9,
    "lookahead": "2:0.5",
}


def test_compiled_updates_have_the_same_bits_on_other_numbers_of_replicas(behind):
    assert bits(1, **COMPILED) == bits(2, **COMPILED)


def test_a_compiled_update_is_the_plain_one_but_for_the_last_bits(behind, monkeypatch):
    compiled = train(0, 4, **COMPILED)
    monkeypatch.setattr(Towers, "run_behind", False)
    for name, plain in train(0, 4, **COMPILED).items():
        np.testing.assert_allclose(compiled[name], plain, rtol=1e-4, atol=1e-6, err_msg=name)


def test_compiled_steps_after_a_divergence_change_nothing(behind, monkeypatch):
    test_masked_steps_after_a_divergence_change_nothing(behind, monkeypatch, jit=True)
