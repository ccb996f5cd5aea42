"""A tower that computes a wrong number, as a faulty one would."""

from collections.abc import Callable

import tensorflow as tf

from pipeline.engine.forward import Compute, ShardSums


def lying(computing: Callable[..., Compute], is_wrong: Callable[[str], bool]) -> Callable[..., Compute]:
    """`forward.computing`, whose sums have a flipped bit on devices that are wrong: the lowest of one gradient."""

    def made(*args, **options) -> Compute:
        honest = computing(*args, **options)

        def compute(*tensors) -> ShardSums:
            sums = honest(*tensors)
            if not is_wrong(tf.zeros([]).device):
                return sums
            *others, last = sums.gradients
            one = tf.scatter_nd([[0] * len(last.shape)], [1], last.shape)
            flipped = tf.bitcast(tf.bitwise.bitwise_xor(tf.bitcast(last, tf.int32), one), tf.float32)
            return sums._replace(gradients=[*others, flipped])

        return compute

    return made
