"""TensorFlow's fused update kernels behind one signature, and rules that have none.

A rule is a function `(config, variable, slots, gradient, now)` that updates a variable and its slots in place.
To add a rule, write the function, register it in RULES, and name it in config.OPTIMIZERS.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from pipeline.config import Config
from pipeline.engine import muon

# Where --beta_2 and --epsilon are 0.
_BETA_2 = {"rmsprop": 0.9, "lion": 0.99}
_EPSILON = {"rmsprop": 1e-7}
_OTHER_BETA_2, _OTHER_EPSILON = 0.999, 1e-8

LARS_TRUST = 0.001
_MUON_RATE = 0.02  # where --muon_rate is 0

Slots = Sequence[tf.Variable]


class Now(NamedTuple):
    """Numbers of one step that all variables share."""

    rate: tf.Tensor  # [] float32
    beta_1_power: tf.Tensor  # [] float32
    beta_2_power: tf.Tensor  # [] float32
    settings: Mapping[str, float | tf.Tensor]  # of the rule, [] float32: shares of old values that a step keeps
    applies: tf.Tensor | None = None  # [] bool: whether the step changes anything; None: it does

    def masked(self, applies: tf.Tensor) -> "Now":
        """The same numbers for a step that changes nothing unless `applies`, [] bool."""
        settings = {name: tf.where(applies, value, 1.0) for name, value in self.settings.items()}
        return self._replace(applies=applies, rate=tf.where(applies, self.rate, 0.0), settings=settings)


def betas(config: Config) -> tuple[float, float]:
    """The two betas of a configuration's rule."""
    return config.beta_1, config.beta_2 or _BETA_2.get(config.optimizer, _OTHER_BETA_2)


def _epsilon(config: Config) -> tf.Tensor:
    return tf.constant(config.epsilon or _EPSILON.get(config.optimizer, _OTHER_EPSILON), tf.float32)


def decays(config: Config, variable: tf.Variable) -> bool:
    """Whether weight decay acts on a variable."""
    return config.weight_decay > 0 and variable.shape.rank >= 2


def _sgd(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """`variable -= rate * gradient`."""
    tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=now.rate, delta=gradient)


def _momentum(
    config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now, nesterov: bool = False
) -> None:
    """`m = momentum * m + gradient; variable -= rate * m` (Goyal et al. 2017, equation 9).

    The slot holds gradients, not steps, so a change of the rate acts on all of it at once. Nesterov's form
    (Sutskever et al. 2013) subtracts rate * (gradient + momentum * m) instead.
    """
    tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle,
        accum=slots[0].handle,
        lr=now.rate,
        grad=gradient,
        momentum=now.settings["momentum"],
        use_nesterov=nesterov,
    )


def _nesterov(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """Momentum that looks one step ahead; see _momentum."""
    _momentum(config, variable, slots, gradient, now, nesterov=True)


def _rmsprop(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """`ms = 0.9 * ms + 0.1 * gradient**2; variable -= rate * gradient / sqrt(ms + 1e-7)`.

    Tieleman & Hinton 2012, lecture 6.5; 0.9 is --beta_2 and 1e-7 is --epsilon. As in Keras, ms starts at 0 (in
    TensorFlow 1 it started at 1), so the first steps are about three times the rate. The kernel writes its last step to
    a second slot. Without momentum it never reads that slot.
    """
    tf.raw_ops.ResourceApplyRMSProp(
        var=variable.handle,
        ms=slots[0].handle,
        mom=slots[1].handle,
        lr=now.rate,
        rho=now.settings["rho"],
        momentum=tf.constant(0.0, tf.float32),
        epsilon=_epsilon(config),
        grad=gradient,
    )


def _adam(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """Kingma & Ba 2015, section 2: the form with epsilon outside the bias correction ("epsilon hat").

    By default the betas are 0.9 and 0.999 and epsilon is 1e-8, as in TensorFlow 1's AdamOptimizer. The powers of the
    betas are functions of the step, so they are no part of the state.
    """
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=slots[0].handle,
        v=slots[1].handle,
        beta1_power=now.beta_1_power,
        beta2_power=now.beta_2_power,
        lr=now.rate,
        beta1=now.settings["beta_1"],
        beta2=now.settings["beta_2"],
        epsilon=_epsilon(config),
        grad=gradient,
    )


def _adamw(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """Adam with decoupled decay (Loshchilov & Hutter 2019, algorithm 2).

    First `variable -= rate * weight_decay * variable`, then Adam's step. The decay is scaled by the rate, as in Keras.
    """
    if decays(config, variable):
        variable.assign_sub(now.rate * config.weight_decay * variable)
    _adam(config, variable, slots, gradient, now)


def _lars(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """Momentum of gradients that are scaled by layer (You et al. 2017, algorithm 1).

    `g = gradient + weight_decay * variable`, scaled by `0.001 * norm(variable) / (norm(gradient) + weight_decay *
    norm(variable))`. Where a norm is 0, and for variables of less than two dimensions, g is the gradient itself. As for
    _momentum, the slot holds gradients, so the rate is no part of it.
    """
    if variable.shape.rank >= 2:
        decay = config.weight_decay
        of_variable, of_gradient = (tf.sqrt(2 * tf.nn.l2_loss(value)) for value in (variable, gradient))
        counts = (of_variable > 0) & (of_gradient > 0)
        ratio = LARS_TRUST * of_variable / tf.where(counts, of_gradient + decay * of_variable, 1.0)
        scaled = (gradient + decay * variable if decay else gradient) * ratio
        gradient = tf.where(counts, scaled, gradient)
    _momentum(config, variable, slots, gradient, now)


def _lion(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """`variable -= rate * (sign(beta_1 * m + (1 - beta_1) * gradient) + weight_decay * variable)`.

    Then `m = beta_2 * m + (1 - beta_2) * gradient` (Chen et al. 2023, algorithm 2).
    """
    (moment,) = slots
    beta_1, beta_2 = (tf.convert_to_tensor(now.settings[name], tf.float32) for name in ("beta_1", "beta_2"))
    step = tf.sign(beta_1 * moment + (1 - beta_1) * gradient)
    if decays(config, variable):
        step = step + config.weight_decay * variable
    variable.assign_sub(now.rate * step)
    moment.assign(beta_2 * moment + (1 - beta_2) * gradient)


def _muon(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """Nesterov's momentum of gradients, made orthogonal, for kernels of convolutions; _nesterov for all others.

    `m = momentum * m + gradient; variable -= r * (muon.step(gradient + momentum * m) + weight_decay * variable)`
    (Jordan et al. 2024), where r follows the rate's schedule, from a peak of --muon_rate. The others do not decay.
    """
    if not muon.is_matrix(variable.shape):
        _nesterov(config, variable, slots, gradient, now)
        return
    (moment,) = slots
    share = tf.convert_to_tensor(now.settings["momentum"], tf.float32)
    moment.assign(share * moment + gradient)
    step = muon.step(gradient + share * moment)
    if decays(config, variable):
        step = step + config.weight_decay * variable
    of_rate = (config.muon_rate or _MUON_RATE) / config.learning_rate
    variable.assign_sub(now.rate * of_rate * step)


@dataclasses.dataclass(frozen=True)
class _Rule:
    update: Callable[..., None]
    slots: tuple[str, ...]
    settings: Callable[[Config], dict[str, float]]
    decays_itself: bool = False


def _momentum_settings(config: Config) -> dict[str, float]:
    return {"momentum": config.momentum}


def _settings_of_betas(config: Config) -> dict[str, float]:
    return dict(zip(("beta_1", "beta_2"), betas(config), strict=True))


RULES = {
    "sgd": _Rule(_sgd, (), lambda config: {}),
    "momentum": _Rule(_momentum, ("momentum",), _momentum_settings),
    "nesterov": _Rule(_nesterov, ("momentum",), _momentum_settings),
    "rmsprop": _Rule(_rmsprop, ("ms", "mom"), lambda config: {"rho": betas(config)[1]}),
    "adam": _Rule(_adam, ("m", "v"), _settings_of_betas),
    "adamw": _Rule(_adamw, ("m", "v"), _settings_of_betas, decays_itself=True),
    "lars": _Rule(_lars, ("momentum",), _momentum_settings, decays_itself=True),
    "lion": _Rule(_lion, ("m",), _settings_of_betas, decays_itself=True),
    "muon": _Rule(_muon, ("momentum",), _momentum_settings, decays_itself=True),
}
