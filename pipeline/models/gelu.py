"""The Gaussian error linear unit, x * Phi(x) (Hendrycks and Gimpel 2016), in few passes over memory.

TensorFlow computes it and its gradient as chains of operations, each of which passes through all of the memory. XLA
makes one of each chain. Its bits do not depend on the shape. Phi is by erf: tf.nn.gelu's erfc takes twice as long
(`python -m benchmarks.kernels`), and ONNX does not have it.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from pipeline.models import scoped

_BY_XLA = ContextVar("by_xla", default=False)


def by_xla(wanted: bool) -> contextlib.AbstractContextManager[None]:
    """Inside, XLA compiles what `Gelu` computes: on CPUs, outside of whole programs of XLA's, and not in exports."""
    return scoped.setting(_BY_XLA, wanted)


@keras.saving.register_keras_serializable("pipeline")
class Gelu(keras.layers.Layer):
    """x * Phi(x) of every element, where Phi is the normal distribution's. In 16 bits the result alone is rounded."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """The values, in the shape and type of x."""
        return _compiled(x) if _BY_XLA.get() else _plain(x)

    def in_keras(self) -> Sequence[keras.layers.Layer]:
        """An activation."""
        return [keras.layers.Activation("gelu", name=self.name, dtype=self.dtype_policy)]


def _with_gradient(value: Callable[..., tf.Tensor], derived: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    @tf.custom_gradient
    def of(x: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        return value(x), lambda by_value: derived(x, by_value)

    return of


def _value(x: tf.Tensor) -> tf.Tensor:
    wide = tf.cast(x, tf.float32)
    twice_phi = 1 + tf.math.erf(wide * math.sqrt(0.5))
    return tf.cast(0.5 * wide * twice_phi, x.dtype)  # the form in which TensorFlow Lite knows it


def _derived(x: tf.Tensor, by_value: tf.Tensor) -> tf.Tensor:
    """by_value * (Phi(x) + x * density(x))."""
    wide = tf.cast(x, tf.float32)
    phi = 0.5 + 0.5 * tf.math.erf(wide * math.sqrt(0.5))
    density = tf.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    return tf.cast(tf.cast(by_value, tf.float32) * (phi + wide * density), x.dtype)


_plain = _with_gradient(_value, _derived)
_compiled = _with_gradient(*(tf.function(f, jit_compile=True, autograph=False) for f in (_value, _derived)))
