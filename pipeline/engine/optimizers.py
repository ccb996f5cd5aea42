"""TensorFlow's fused update kernels behind one signature.

A rule is a function `(config, variable, slots, gradient, now)` that updates a variable and its slots in place.
To add a rule, write the function, register it in _RULES, and name it in config.OPTIMIZERS.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from pipeline.config import Config

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-8
RMSPROP_DECAY, RMSPROP_EPSILON = 0.9, 1e-7


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

    Tieleman & Hinton 2012, lecture 6.5. As in Keras, ms starts at 0 (in TensorFlow 1 it started at 1), so the first
    steps are about three times the rate. The kernel writes its last step to a second slot. Without momentum it never
    reads that slot.
    """
    tf.raw_ops.ResourceApplyRMSProp(
        var=variable.handle,
        ms=slots[0].handle,
        mom=slots[1].handle,
        lr=now.rate,
        rho=now.settings["rho"],
        momentum=tf.constant(0.0, tf.float32),
        epsilon=tf.constant(RMSPROP_EPSILON, tf.float32),
        grad=gradient,
    )


def _adam(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """Kingma & Ba 2015, section 2: the form with epsilon outside the bias correction ("epsilon hat").

    The betas are 0.9 and 0.999 and epsilon is 1e-8, the defaults of TensorFlow 1's AdamOptimizer. The powers of the
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
        epsilon=tf.constant(ADAM_EPSILON, tf.float32),
        grad=gradient,
    )


def _adamw(config: Config, variable: tf.Variable, slots: Slots, gradient: tf.Tensor, now: Now) -> None:
    """Adam with decoupled decay (Loshchilov & Hutter 2019, algorithm 2).

    First `variable -= rate * weight_decay * variable`, then Adam's step. The decay is scaled by the rate, as in Keras.
    """
    if _decays(config, variable):
        variable.assign_sub(now.rate * config.weight_decay * variable)
    _adam(config, variable, slots, gradient, now)


@dataclasses.dataclass(frozen=True)
class _Rule:
    update: Callable[..., None]
    slots: tuple[str, ...]
    settings: Callable[[Config], dict[str, float]]
    decays_itself: bool = False


def _momentum_settings(config: Config) -> dict[str, float]:
    return {"momentum": config.momentum}


def _adam_settings(config: Config) -> dict[str, float]:
    return {"beta_1": BETA_1, "beta_2": BETA_2}


_RULES = {
    "sgd": _Rule(_sgd, (), lambda config: {}),
    "momentum": _Rule(_momentum, ("momentum",), _momentum_settings),
    "nesterov": _Rule(_nesterov, ("momentum",), _momentum_settings),
    "rmsprop": _Rule(_rmsprop, ("ms", "mom"), lambda config: {"rho": RMSPROP_DECAY}),
    "adam": _Rule(_adam, ("m", "v"), _adam_settings),
    "adamw": _Rule(_adamw, ("m", "v"), _adam_settings, decays_itself=True),
}


class Optimizer:
    """One rule and its settings. It owns no variables: the caller keeps the slots."""

    def __init__(self, config: Config):
        self._config, self._rule = config, _RULES[config.optimizer]

    @property
    def slots(self) -> Mapping[str, float]:
        """Each slot's name and the value it starts from; a slot has its variable's shape, in float32."""
        return dict.fromkeys(self._rule.slots, 0.0)

    def at(self, rate: tf.Tensor, step: tf.Tensor) -> Now:
        """The numbers that all variables' updates at a step share.

        They are computed once, before it is known whether the updates apply.
        rate: [] float32. step: [] int64, the global step being computed, counted from 0.
        """
        count = tf.cast(step + 1, tf.float32)
        power_1, power_2 = (tf.constant(beta, tf.float32) ** count for beta in (BETA_1, BETA_2))
        return Now(rate, power_1, power_2, self._rule.settings(self._config))

    def apply(self, variable: tf.Variable, slots: Sequence[tf.Variable], gradient: tf.Tensor, now: Now) -> None:
        """Updates a variable and its slots by one step, on the device in force.

        slots: one variable for every name in `self.slots`, in that order. gradient: of the variable's shape.
        now: the result of `at` for this step.
        Weight decay acts on variables of two or more dimensions. Where the rule does not decay by itself, the decay is
        L2 regularization: weight_decay * variable is added to the gradient, after any clipping.
        """
        if not self._rule.decays_itself and _decays(self._config, variable):
            gradient = gradient + self._config.weight_decay * variable
        if now.applies is not None:  # a rate and a gradient of 0, and shares of 1, leave every number that is read
            gradient = tf.where(now.applies, gradient, 0.0)
        self._rule.update(self._config, variable, slots, gradient, now)


def _decays(config: Config, variable: tf.Variable) -> bool:
    return config.weight_decay > 0 and variable.shape.rank >= 2


def make(config: Config) -> Optimizer:
    """The optimizer that the configuration names."""
    return Optimizer(config)


def norm(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """The global norm: the root of the sum of all squares, [] float32."""
    return tf.sqrt(2 * tf.add_n([tf.nn.l2_loss(g) for g in gradients]))


def clip(gradients: Sequence[tf.Tensor], norm: tf.Tensor, clip_norm: float) -> list[tf.Tensor]:
    """The gradients, scaled down to the global norm `clip_norm` if theirs is larger (Pascanu et al. 2013, algorithm 1).

    norm: [] float32, their global norm, finite. clip_norm: 0 sets no limit. Gradients within the limit keep their bits.
    """
    if not clip_norm:
        return list(gradients)
    scale = clip_norm / tf.maximum(norm, clip_norm)
    return [g * scale for g in gradients]
