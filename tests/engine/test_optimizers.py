"""Every rule against its formula in float64, and against Keras where Keras has the same one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import config
from pipeline.config import Config
from pipeline.engine import optimizers
from pipeline.engine.muon import orthogonal

STEPS = 6
TOLERANCE = 1e-6  # values near 1 in float32, over six steps
RATES = [0.1, 0.05, 0.2, 0.01, 0.1, 0.3]  # not constant: a rule that keeps steps instead of gradients shows

BETA_1, BETA_2 = np.float64(np.float32(0.9)), np.float64(np.float32(0.999))  # as the kernels hold them


def rng(seed):
    return np.random.default_rng(seed)


def gradients(shape):
    return [rng(10 + s).normal(size=shape).astype(np.float32) for s in range(STEPS)]


def by_pipeline(settings, start, rates=RATES, first_step=0):
    """The variable after STEPS steps."""
    optimizer = optimizers.make(settings)
    variable = tf.Variable(start, dtype=tf.float32)
    slots = [tf.Variable(tf.fill(variable.shape, value)) for value in optimizer.slots.values()]

    @tf.function
    def apply(gradient, rate, step):
        optimizer.apply(variable, slots, gradient, optimizer.at(rate, step))

    for s, gradient in enumerate(gradients(start.shape)):
        apply(tf.constant(gradient), tf.constant(rates[s], tf.float32), tf.constant(first_step + s, tf.int64))
    return variable.numpy()


def sgd(x, g, rate, step, slots, _):
    return x - rate * g


def momentum(x, g, rate, step, slots, settings):
    slots["m"] = settings.momentum * slots.get("m", 0) + g
    return x - rate * slots["m"]


def nesterov(x, g, rate, step, slots, settings):
    slots["m"] = settings.momentum * slots.get("m", 0) + g
    return x - rate * (g + settings.momentum * slots["m"])


def rmsprop(x, g, rate, step, slots, _):
    slots["ms"] = 0.9 * slots.get("ms", 0) + 0.1 * g**2
    return x - rate * g / np.sqrt(slots["ms"] + 1e-7)


def adam(x, g, rate, step, slots, _):
    slots["m"] = BETA_1 * slots.get("m", 0) + (1 - BETA_1) * g
    slots["v"] = BETA_2 * slots.get("v", 0) + (1 - BETA_2) * g**2
    corrected = rate * np.sqrt(1 - BETA_2 ** (step + 1)) / (1 - BETA_1 ** (step + 1))
    return x - corrected * slots["m"] / (np.sqrt(slots["v"]) + 1e-8)


def adamw(x, g, rate, step, slots, settings):
    return adam(x, g, rate, step, slots, settings) - rate * settings.weight_decay * (x if x.ndim >= 2 else 0)


def lars(x, g, rate, step, slots, settings):
    if x.ndim >= 2:
        decay = settings.weight_decay
        of_x, of_g = np.sqrt((x**2).sum()), np.sqrt((g**2).sum())
        g = 0.001 * of_x / (of_g + decay * of_x) * (g + decay * x) if of_x > 0 and of_g > 0 else g
    return momentum(x, g, rate, step, slots, settings)


def lion(x, g, rate, step, slots, settings):
    m = slots.get("m", 0)
    slots["m"] = 0.99 * m + 0.01 * g
    return x - rate * (np.sign(0.9 * m + 0.1 * g) + settings.weight_decay * (x if x.ndim >= 2 else 0))


def muon(x, g, rate, step, slots, settings):
    if x.ndim < 3 or 1 in x.shape[-2:]:
        return nesterov(x, g, rate, step, slots, settings)
    slots["m"] = settings.momentum * slots.get("m", 0) + g
    matrix = (g + settings.momentum * slots["m"]).reshape(-1, x.shape[-1])
    matrix = matrix / (np.linalg.norm(matrix) + 1e-7)
    for _ in range(3):  # the same function of every singular value
        gram = matrix @ matrix.T
        matrix = 3.4445 * matrix + (-4.7750 * gram + 2.0315 * gram @ gram) @ matrix
    scaled = matrix.reshape(x.shape) * max(1, matrix.shape[1] / matrix.shape[0]) ** 0.5
    return x - rate * settings.muon_rate / settings.learning_rate * (scaled + settings.weight_decay * x)


RULES = {"lars": lars, "lion": lion, "muon": muon}
RULES |= {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "rmsprop": rmsprop, "adam": adam, "adamw": adamw}


def by_hand(settings, start):
    x, slots = start.astype(np.float64), {}
    for s, g in enumerate(gradients(start.shape)):
        if settings.optimizer not in ("adamw", "lars", "lion", "muon") and x.ndim >= 2:
            g = g + settings.weight_decay * x
        x = RULES[settings.optimizer](x, g, RATES[s], s, slots, settings)
    return x


@pytest.mark.parametrize("shape", [(3, 2), (4,), ()])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_rule_by_hand(name, weight_decay, shape):
    settings = Config(optimizer=name, weight_decay=weight_decay, momentum=0.8)
    start = rng(1).normal(size=shape).astype(np.float32)
    actual = by_pipeline(settings, start)
    np.testing.assert_allclose(actual, by_hand(settings, start), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (1, 1, 3, 5), (3, 3, 4, 1), (3, 3, 1, 4)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_muon_of_kernels_by_hand(weight_decay, shape):
    settings = Config(optimizer="muon", weight_decay=weight_decay, momentum=0.8, learning_rate=0.5, muon_rate=0.25)
    start = rng(1).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(by_pipeline(settings, start), by_hand(settings, start), rtol=0, atol=2e-5)


def test_muon_of_a_kernel_equals_that_of_keras_of_its_matrix():
    start = rng(2).normal(size=(2, 3, 4, 5)).astype(np.float32)
    variable = keras.Variable(start.reshape(24, 5))
    optimizer = keras.optimizers.Muon(0.1, weight_decay=0.05, momentum=0.7, rms_rate=None, ns_steps=3)
    for gradient in gradients(start.shape):
        optimizer.apply([tf.reshape(gradient, [24, 5])], [variable])
    settings = Config(optimizer="muon", weight_decay=0.05, momentum=0.7, learning_rate=0.5, muon_rate=0.1)
    actual = by_pipeline(settings, start, rates=[0.5] * STEPS).reshape(24, 5)
    np.testing.assert_allclose(actual, variable.numpy(), rtol=0, atol=2e-5)
    by_default = Config(optimizer="muon", weight_decay=0.05, momentum=0.7, learning_rate=0.1)
    slower = by_pipeline(by_default, start, rates=[0.5] * STEPS).reshape(24, 5)  # 0.02, five times the peak
    np.testing.assert_allclose(slower, actual, rtol=0, atol=2e-5)


def test_a_step_of_muon_has_singular_values_near_one():
    for shape in ((40, 7), (7, 40)):
        values = np.linalg.svd(orthogonal(tf.constant(rng(5).normal(size=shape), tf.float32)), compute_uv=False)
        assert values.min() > 0.65 and values.max() < 1.25
    np.testing.assert_array_equal(orthogonal(tf.zeros([4, 3])), np.zeros([4, 3]))


@pytest.mark.parametrize("shape", [(3, 2), (4,)])
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("sgd", lambda: keras.optimizers.SGD(0.1)),
        ("momentum", lambda: keras.optimizers.SGD(0.1, momentum=0.9)),
        ("nesterov", lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)),
        ("rmsprop", lambda: keras.optimizers.RMSprop(0.1, rho=0.9, epsilon=1e-7)),
        ("adam", lambda: keras.optimizers.Adam(0.1, epsilon=1e-8)),
        ("adamw", lambda: keras.optimizers.AdamW(0.1, epsilon=1e-8, weight_decay=0.05)),
        ("lion", lambda: keras.optimizers.Lion(0.1, beta_1=0.9, beta_2=0.99, weight_decay=0.05)),
    ],
)
def test_rule_equals_keras(name, theirs, shape):
    start = rng(2).normal(size=shape).astype(np.float32)
    optimizer, variable = theirs(), keras.Variable(start)
    if len(shape) < 2:
        optimizer.exclude_from_weight_decay([variable])
    for gradient in gradients(shape):
        optimizer.apply([tf.constant(gradient)], [variable])
    settings = Config(optimizer=name, weight_decay=0.05 if name in ("adamw", "lion") else 0.0)
    actual = by_pipeline(settings, start, rates=[0.1] * STEPS)
    np.testing.assert_allclose(actual, variable.numpy(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("sgd", []),
        ("momentum", ["momentum"]),
        ("rmsprop", ["ms", "mom"]),
        ("adam", ["m", "v"]),
        ("adamw", ["m", "v"]),
        ("muon", ["momentum"]),
    ],
)
def test_slots_start_at_zero(name, slots):
    assert optimizers.make(Config(optimizer=name)).slots == dict.fromkeys(slots, 0.0)


def test_lars_takes_the_gradient_itself_where_a_norm_is_zero():
    settings, start = Config(optimizer="lars", weight_decay=0.1), np.zeros([3, 2], np.float32)
    moved = by_pipeline(settings, start)
    np.testing.assert_allclose(moved, by_hand(settings, start), rtol=0, atol=TOLERANCE)
    assert np.abs(moved).max() > 0.01  # the first step is that of plain momentum


@pytest.mark.parametrize(
    ("theirs", "settings"),
    [
        (keras.optimizers.Adam, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1}),
        (keras.optimizers.AdamW, {"beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-3}),
        (keras.optimizers.Lion, {"beta_1": 0.95, "beta_2": 0.98}),
        (keras.optimizers.RMSprop, {"beta_2": 0.99, "epsilon": 0.01}),
    ],
)
def test_betas_and_epsilon_are_those_of_keras(theirs, settings):
    start, name = rng(2).normal(size=[3, 2]).astype(np.float32), theirs.__name__.lower()
    renamed = {"rho" if (name, flag) == ("rmsprop", "beta_2") else flag: value for flag, value in settings.items()}
    optimizer, variable = theirs(0.1, weight_decay=0.0, **renamed), keras.Variable(start)
    for gradient in gradients([3, 2]):
        optimizer.apply([tf.constant(gradient)], [variable])
    ours, by_default = (
        by_pipeline(c, start, [0.1] * STEPS) for c in (Config(optimizer=name, **settings), Config(optimizer=name))
    )
    np.testing.assert_allclose(ours, variable.numpy(), rtol=0, atol=TOLERANCE)
    assert np.abs(ours - by_default).max() > 1e-3


def test_adam_takes_its_powers_from_the_step():
    """At a late step fresh slots are not corrected: each step is the uncorrected one."""
    start = np.ones([2], np.float32)
    late = by_pipeline(Config(optimizer="adam"), start, first_step=100_000)
    x, slots = start.astype(np.float64), {}
    for s, g in enumerate(gradients([2])):
        x = adam(x, g, RATES[s], 100_000 + s, slots, None)
    np.testing.assert_allclose(late, x, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "shape"), [*((name, (3, 2)) for name in config.OPTIMIZERS), ("muon", (3, 3, 2, 4)), ("adamw", (4,))]
)
def test_a_masked_step_changes_nothing_and_others_keep_their_bits(name, shape):
    """Steps masked by true and false in turn, the latter with a gradient that is not finite."""
    settings = Config(optimizer=name, weight_decay=0.1)
    optimizer, start = optimizers.make(settings), rng(3).normal(size=shape).astype(np.float32)
    found = []
    for masks in (False, True):
        variable = tf.Variable(start)
        slots = [tf.Variable(tf.fill(start.shape, value)) for value in optimizer.slots.values()]
        for step, gradient in enumerate(gradients(start.shape)):
            now = optimizer.at(tf.constant(0.1), tf.constant(step, tf.int64))
            if masks:
                optimizer.apply(variable, slots, tf.fill(start.shape, np.nan), now.masked(tf.constant(False)))
            optimizer.apply(variable, slots, tf.constant(gradient), now.masked(tf.constant(True)) if masks else now)
        found.append(b"".join(value.numpy().tobytes() for value in (variable, *slots)))
    assert found[0] == found[1]


def test_norm_by_hand():
    norm = optimizers.norm([tf.constant([[3.0, 0.0]]), tf.constant([4.0]), tf.constant(12.0)])
    assert norm.dtype == tf.float32
    assert float(norm) == 13.0


def test_clip_scales_all_gradients_to_the_norm():
    parts = [tf.constant([[3.0, 0.0]]), tf.constant([4.0])]
    clipped = optimizers.clip(parts, optimizers.norm(parts), 0.5)
    np.testing.assert_allclose(clipped[0], [[0.3, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(clipped[1], [0.4], rtol=1e-6)


@pytest.mark.parametrize("clip_norm", [0.0, 1e6])
def test_clip_keeps_the_bits_of_gradients_within(clip_norm):
    parts = [tf.constant(g) for g in gradients([5])]
    for before, after in zip(parts, optimizers.clip(parts, optimizers.norm(parts), clip_norm), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("rule", ["nesterov", "adam"])
def test_bias_rate_is_a_factor_of_the_rate_of_one_dimension_alone(rule):
    plain, scaled = (Config(optimizer=rule, bias_rate=factor) for factor in (1.0, 4.0))
    bias, kernel = rng(1).normal(size=5), rng(1).normal(size=(5, 3))
    fourfold = by_pipeline(plain, bias, rates=[4 * rate for rate in RATES])
    np.testing.assert_array_equal(by_pipeline(scaled, bias), fourfold)
    assert (by_pipeline(plain, bias) != fourfold).all()
    np.testing.assert_array_equal(by_pipeline(scaled, kernel), by_pipeline(plain, kernel))
