"""The learning rate as a pure function of the step."""

import math

import tensorflow as tf

from pipeline.config import Config

RISE_OF_ONECYCLE = 0.3  # share of decay_steps, where --warmup_steps is 0

# Each takes the elapsed share of the schedule, [] float32 in [0, 1], and returns the rate as a share of its peak.
_DECAYS = {
    "constant": lambda config, part: tf.ones_like(part),
    "cosine": lambda config, part: (1 + tf.cos(math.pi * part)) / 2,  # Loshchilov & Hutter 2017, equation 5
    "linear": lambda config, part: 1 - part,
    "exponential": lambda config, part: tf.pow(tf.constant(config.decay_rate, tf.float32), part),
    # Smith & Topin 2018: linear up, then linear down to 0; without their final phase and their cycle of the momentum.
    "onecycle": lambda config, part: 1 - part,
}


def learning_rate(config: Config, step: tf.Tensor | int) -> tf.Tensor:
    """The rate of one step: [] int64, counted from 0 -> [] float32.

    Over the first `warmup_steps` the rate rises in equal parts, from peak / (warmup_steps + 1) at step 0 to the peak at
    step `warmup_steps`. From there the schedule runs to step `decay_steps`, and the rate keeps its last value:
    final_rate for cosine, linear and onecycle, decay_rate * peak for exponential. The steps of piecewise count from 0.
    `decay_steps` must be resolved (> 0).
    """
    warmup = _warmup_steps(config)
    risen = tf.minimum(tf.cast(step + 1, tf.float32) / (warmup + 1), 1)
    if config.schedule == "piecewise":
        return risen * _piecewise(config, step)
    part = tf.cast(step - warmup, tf.float32) / max(config.decay_steps - warmup, 1)
    share = _DECAYS[config.schedule](config, tf.clip_by_value(part, 0, 1))
    if config.final_rate:
        return risen * (config.final_rate + (config.learning_rate - config.final_rate) * share)
    return config.learning_rate * risen * share


def _warmup_steps(config: Config) -> int:
    if config.schedule == "onecycle" and not config.warmup_steps:
        return int(RISE_OF_ONECYCLE * config.decay_steps)
    return config.warmup_steps


def _piecewise(config: Config, step: tf.Tensor | int) -> tf.Tensor:
    """The rate of the last boundary that the step has reached; before the first, the peak."""
    pairs = config.rates
    reached = tf.reduce_sum(tf.cast(step >= tf.constant([start for start, _ in pairs], tf.int64), tf.int32))
    return tf.gather(tf.constant([config.learning_rate] + [rate for _, rate in pairs], tf.float32), reached)
