"""An optimizer: one update rule, its settings, weight decay; and the norm of gradients and their clipping."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from pipeline.config import Config
from pipeline.engine.update_rules import RULES, Now, betas, decays


class Optimizer:
    """One rule and its settings. It owns no variables: the caller keeps the slots."""

    def __init__(self, config: Config):
        self._config, self._rule = config, RULES[config.optimizer]

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
        powers = (tf.constant(beta, tf.float32) ** count for beta in betas(self._config))
        return self.now(rate, *powers)

    def now(self, rate: tf.Tensor, beta_1_power: tf.Tensor, beta_2_power: tf.Tensor) -> Now:
        """The numbers of a step of which these, each [] float32, are known."""
        return Now(rate, beta_1_power, beta_2_power, self._rule.settings(self._config))

    def apply(self, variable: tf.Variable, slots: Sequence[tf.Variable], gradient: tf.Tensor, now: Now) -> None:
        """Updates a variable and its slots by one step, on the device in force.

        slots: one variable for every name in `self.slots`, in that order. gradient: of the variable's shape.
        now: the result of `at` for this step.
        Weight decay acts on variables of two or more dimensions. Where the rule does not decay by itself, the decay is
        L2 regularization: weight_decay * variable is added to the gradient, after any clipping.
        The rate of variables of less than two dimensions is multiplied by --bias_rate.
        """
        if not self._rule.decays_itself and decays(self._config, variable):
            gradient = gradient + self._config.weight_decay * variable
        if self._config.bias_rate != 1 and variable.shape.rank < 2:
            now = now._replace(rate=now.rate * self._config.bias_rate)
        if now.applies is not None:  # a rate and a gradient of 0, and shares of 1, leave every number that is read
            gradient = tf.where(now.applies, gradient, 0.0)
        self._rule.update(self._config, variable, slots, gradient, now)


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
