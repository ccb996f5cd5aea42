"""Dynamic loss scaling for float16 (Micikevicius et al. 2018, section 3.2), as part of the state.

The scale doubles after 2,000 finite steps in a row. A step whose gradient is not finite is skipped and counted, and
halves the scale. Scales are powers of two: they change no bits of a number that does not overflow or underflow.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

START, LEAST, MOST, GROW_AFTER = 2.0**15, 1.0, 2.0**24, 2000
SCALE, GOOD_STEPS, SKIPPED_STEPS = "loss_scale/scale", "loss_scale/good_steps", "loss_scale/skipped_steps"


def initial() -> dict[str, np.ndarray]:
    """The scale's part of the state at step 0."""
    zero = np.zeros([], np.int64)
    return {SCALE: np.asarray(START, np.float32), GOOD_STEPS: zero, SKIPPED_STEPS: zero}


def read(variables: Mapping[str, tf.Variable]) -> tf.Tensor | None:
    """The scale [] float32, or None for a state without one."""
    return variables[SCALE].read_value() if SCALE in variables else None


def update(variables: Mapping[str, tf.Variable], finite: tf.Tensor, going: tf.Tensor) -> None:
    """Counts one step if the run is `going`, [] bool, and doubles or halves the scale if that is due."""
    scale, good, skipped = (variables[name] for name in (SCALE, GOOD_STEPS, SKIPPED_STEPS))
    run = tf.where(finite, good + 1, 0)
    grown = tf.where(run >= GROW_AFTER, tf.minimum(scale * 2, MOST), scale)
    scale.assign(tf.where(going, tf.where(finite, grown, tf.maximum(scale / 2, LEAST)), scale))
    good.assign(tf.where(going, tf.where(run >= GROW_AFTER, tf.zeros_like(run), run), good))
    skipped.assign_add(tf.cast(~finite & going, tf.int64))
