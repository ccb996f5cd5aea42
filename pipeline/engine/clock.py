"""The time inside of a TensorFlow function."""

import time

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import config as tf_config  # no public function tells it


def now() -> tf.Tensor:
    """The seconds since 1970, [] float64. Call it on the host.

    Where only deterministic operations are allowed, TensorFlow refuses its own clock, so Python's is read.
    """
    if tf_config.is_op_determinism_enabled():
        return tf.ensure_shape(tf.numpy_function(_time, [], tf.float64), [])
    return tf.timestamp()


def _time() -> np.float64:
    return np.float64(time.time())
