"""--lookahead: slow copies of parameters and statistics, to which these return part of the way every few steps.

Zhang et al. 2019 (arXiv:1907.08610), algorithm 1, where alpha is the share that a copy does not keep. With a power, a
copy keeps more from time to time, as in airbench94 (Jordan 2024, arXiv:2404.00498). The copies are part of the state.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from pipeline.text.flag_values import Lookahead

PARAMETERS, STATISTICS = "slow", "slow_statistics"  # of the state's names
_GROUPS = {"parameters": PARAMETERS, "statistics": STATISTICS}


def initial(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The copies at step 0, of a state's values."""
    parted = [(name.partition("/"), value) for name, value in values.items()]
    return {f"{_GROUPS[group]}/{path}": value for (group, _, path), value in parted if group in _GROUPS}


def update(
    current: Sequence[tf.Variable],
    copies: Sequence[tf.Variable],
    rule: Lookahead,
    decay_steps: int,
    step: tf.Tensor,
    mask: tf.Tensor | None = None,
) -> tf.Operation:
    """After every `rule.period` steps, copy = current + (copy - current) * kept, and current becomes the copy.

    kept = rule.kept * part ** rule.power, part being the share of `decay_steps` that is done, at most 1.
    step: [] int64, the step whose update was made. mask: [] bool; where it is false, nothing changes. With a mask there
    is no branch, which would wait for the host.
    """
    done = step + 1
    part, meets = tf.minimum(tf.cast(done, tf.float32) / decay_steps, 1), tf.equal(done % rule.period, 0)

    def meet(mask: tf.Tensor | None) -> tf.Operation:
        kept = tf.constant(rule.kept, tf.float32)
        for _ in range(rule.power):
            kept = kept * part
        for variable, copy in zip(current, copies, strict=True):
            both = variable + (copy - variable) * kept
            copy.assign(both if mask is None else tf.where(mask, both, copy))
            variable.assign(both if mask is None else tf.where(mask, both, variable))
        return tf.no_op()

    return tf.cond(meets, lambda: meet(None), tf.no_op) if mask is None else meet(mask & meets)
