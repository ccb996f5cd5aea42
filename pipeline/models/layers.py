"""Faster layers with the numbers of Keras' own, and the parts of networks with batch normalization."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import keras
import tensorflow as tf
from keras import ops

from pipeline.models import pooling, scoped

ImageShape = tuple[int, int, int]  # height, width, channels

MOMENTUM = 0.9  # the share of its statistics that batch normalization keeps at each step
EPSILON = 1e-5


@runtime_checkable
class Replaceable(Protocol):
    """A layer in whose place Keras' own layers can stand."""

    def in_keras(self) -> Sequence[keras.layers.Layer]:
        """Fresh layers that compute the same one after another, the first of this layer's name and variables."""


_OFFSETS_ONLY: ContextVar[Mapping[int, bool]] = ContextVar("offsets_only", default=MappingProxyType({}))


@tf.custom_gradient
def rectified_and_pooled(convolved: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """max_pool(relu(convolved + bias)) over windows of 2 x 2, with a gradient that passes over less memory.

    convolved: [n, height, width, filters]. bias: [filters]. Returns [n, ceil(height / 2), ceil(width / 2), filters].
    The largest of a window is positive or it is 0, and only the largest has a gradient: so ReLU's and the bias' are
    taken of the maxima, a quarter of the numbers, where TensorFlow takes them of all.
    """
    # In this order TensorFlow fuses bias and ReLU with the convolution before them.
    rectified = tf.nn.relu(tf.nn.bias_add(convolved, bias))
    pooled = tf.raw_ops.MaxPool(input=rectified, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")

    def gradient(by_pooled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        by_sum = tf.raw_ops.ReluGrad(gradients=by_pooled, features=pooled)
        by_convolved = pooling.gradient(rectified, pooled, by_sum, size=2, stride=2, padding="SAME")
        return by_convolved, tf.reduce_sum(by_sum, axis=[0, 1, 2])

    return pooled, gradient


@keras.saving.register_keras_serializable("pipeline")
class PooledConvolution(keras.layers.Layer):
    """max_pool(relu(convolution + bias)), which Keras' Conv2D and MaxPooling2D take longer to train.

    [n, height, width, channels] -> [n, ceil(height / 2), ceil(width / 2), filters]. Its variables are those of a
    Conv2D: kernel [size, size, channels, filters] and bias [filters].
    """

    def __init__(self, filters: int, size: int, kernel_initializer: Any, bias_initializer: Any, **options: Any) -> None:
        """The initializers are whatever Keras takes for one; options are a layer's."""
        super().__init__(**options)
        self.filters, self.size = filters, size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the variables."""
        shape = (self.size, self.size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer=self.bias_initializer)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """The rectified maxima of the convolution over windows of 2 x 2."""
        convolved = ops.conv(images, self.kernel, padding="same")
        return rectified_and_pooled(convolved, tf.convert_to_tensor(self.bias))

    def in_keras(self) -> Sequence[keras.layers.Layer]:
        """A convolution and a pool."""
        options = {"padding": "same", "dtype": self.dtype_policy}
        convolution = keras.layers.Conv2D(self.filters, self.size, activation="relu", name=self.name, **options)
        return convolution, keras.layers.MaxPooling2D(2, name=f"{self.name}_pool", **options)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, from which Keras makes the layer again."""
        return super().get_config() | {
            "filters": self.filters,
            "size": self.size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def offsets_only(layers: Mapping[int, bool]) -> contextlib.AbstractContextManager[None]:
    """Inside, normalizations of these identities add their beta at inference, or nothing where False stands for them.

    So they do whose scale is in the values of the convolution before them (see `folding`).
    """
    return scoped.setting(_OFFSETS_ONLY, layers)


@keras.saving.register_keras_serializable("pipeline")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalization of images, [n, height, width, channels], by TensorFlow's fused kernel.

    Keras computes moments and scaling as a dozen operations, each of which passes through all of the memory; and in
    half precision it casts everything to float32 first, which the kernel does not need. The running variance is of
    the unbiased estimate, n / (n - 1) of what Keras keeps, as in cuDNN.
    """

    def call(self, images: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """The normalized images; in training by their own moments, which the running ones then move towards."""
        training = bool(training and self.trainable)
        if not training and id(self) in _OFFSETS_ONLY.get():
            has_offset = _OFFSETS_ONLY.get()[id(self)]
            return tf.nn.bias_add(images, tf.cast(self.beta, images.dtype)) if has_offset else images
        nothing, running = tf.zeros([0]), (self.moving_mean, self.moving_variance)
        mean, variance = (nothing if training else tf.convert_to_tensor(moments) for moments in running)
        fused = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            for moving, batch in zip(running, (fused.batch_mean, fused.batch_variance), strict=True):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return fused.y

    def in_keras(self) -> Sequence[keras.layers.Layer]:
        """Keras' own normalization."""
        return [keras.layers.BatchNormalization.from_config(self.get_config())]


def normalized(x: keras.KerasTensor, name: str, momentum: float = MOMENTUM) -> keras.KerasTensor:
    """Batch normalization of images, with the settings of every network here."""
    return FusedBatchNormalization(momentum=momentum, epsilon=EPSILON, name=name)(x)


def he_normal() -> keras.initializers.Initializer:
    """Initial values before rectified units (He et al. 2015). A new one each, since Keras draws from one only once."""
    return keras.initializers.HeNormal()
