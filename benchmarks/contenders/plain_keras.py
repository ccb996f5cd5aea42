"""The models as Keras' users write them, and their data as they feed it."""

import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.task import SHUFFLE_BUFFER, Task
from pipeline.models import whitening

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def model(task: Task, image_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """The task's model, with logits in float32."""
    keras.config.set_dtype_policy(_POLICIES[task.dtype])
    return _MODELS[task.model](image_shape, num_classes)


def num_parameters(model: keras.Model) -> int:
    """The number of parameters that can be trained."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def _convolutional(image_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """Conv2D with ReLU, MaxPooling2D, twice; a dense layer with dropout."""
    initial = {"kernel_initializer": "truncated_normal", "bias_initializer": keras.initializers.Constant(0.1)}
    convolution = {"padding": "same", "activation": "relu", **initial}
    return keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Conv2D(32, 5, **convolution),
            layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(64, 5, **convolution),
            layers.MaxPooling2D(2, padding="same"),
            layers.Flatten(),
            layers.Dense(1024, activation="relu", **initial),
            layers.Dropout(0.5),
            layers.Dense(num_classes, dtype="float32", **initial),
        ]
    )


def _resnet50(image_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """ResNet-50 with the stride in the window of 3 x 3, and without biases before normalization."""
    images = keras.Input(image_shape)
    x = _window(layers.Rescaling(2.0, offset=-1.0)(images), 64, 7, 2)
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(layers.ReLU()(_normalization()(x))))
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            x = _bottleneck(x, 64 * 2**stage, 2 if stage and not block else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(num_classes, kernel_initializer="he_normal", dtype="float32")(x))


def _resnet20(image_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """The network of 20 layers for small images, with shortcuts without parameters."""
    images = keras.Input(image_shape)
    x = layers.ReLU()(_normalization()(_window(layers.Rescaling(2.0, offset=-1.0)(images), 16, 3, 1)))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            stride = 2 if stage and not block else 1
            shortcut = x
            if stride > 1:
                shortcut = layers.MaxPooling2D(1, stride, padding="same")(x)
                shortcut = keras.ops.pad(shortcut, [[0, 0], [0, 0], [0, 0], [0, filters // 2]])
            x = layers.ReLU()(_normalization()(_window(x, filters, 3, stride)))
            x = _normalization()(_window(x, filters, 3, 1))
            x = layers.ReLU()(layers.Add()([shortcut, x]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(num_classes, kernel_initializer="he_normal", dtype="float32")(x))


def _bottleneck(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    shortcut = x
    if x.shape[-1] != 4 * filters:
        shortcut = _normalization()(_window(x, 4 * filters, 1, stride))
    x = layers.ReLU()(_normalization()(_window(x, filters, 1, 1)))
    x = layers.ReLU()(_normalization()(_window(x, filters, 3, stride)))
    x = _normalization()(_window(x, 4 * filters, 1, 1))
    return layers.ReLU()(layers.Add()([shortcut, x]))


def _normalization() -> keras.Layer:
    """With the settings of the pipeline's networks, and of PyTorch."""
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9)


def _window(x: keras.KerasTensor, filters: int, size: int, stride: int) -> keras.KerasTensor:
    if stride > 1 and size > 1:  # "same" would pad one side alone
        x = layers.ZeroPadding2D(size // 2)(x)
    options = {"padding": "valid" if stride > 1 else "same", "use_bias": False, "kernel_initializer": "he_normal"}
    return layers.Conv2D(filters, size, stride, **options)(x)


def _whitened(image_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """A fixed convolution, then six trained ones; a stage is convolution, pool, normalization, GELU, and one more."""
    images, channels = keras.Input(image_shape), image_shape[-1]
    fixed = {"kernel_initializer": keras.initializers.Constant(whitening.filters(channels)), "trainable": False}
    x = layers.Rescaling(1.0, offset=-0.5)(images)
    x = layers.Activation("gelu")(layers.Conv2D(8 * channels, 2, use_bias=False, **fixed)(x))
    for filters in (64, 256, 256):
        for pooled in (True, False):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.MaxPooling2D(2)(x) if pooled else x
            x = layers.Activation("gelu")(layers.BatchNormalization(epsilon=1e-5, momentum=0.6)(x))
    x = layers.Dense(num_classes, use_bias=False, dtype="float32")(layers.GlobalMaxPooling2D()(x))
    return keras.Model(images, layers.Rescaling(1 / 9, dtype="float32")(x))


_MODELS: dict[str, Callable[..., keras.Model]] = {
    "convolutional": _convolutional,
    "resnet20": _resnet20,
    "resnet50": _resnet50,
    "whitened": _whitened,
}


def dataset(images: np.ndarray, labels: np.ndarray, batch: int, shuffled: bool = True) -> tf.data.Dataset:
    """Batches without end: images [batch, height, width, channels] float32 in [0, 1], labels [batch]."""
    examples = tf.data.Dataset.from_tensor_slices((images, labels))
    examples = examples.shuffle(SHUFFLE_BUFFER) if shuffled else examples
    examples = examples.repeat().batch(batch, drop_remainder=True)
    scale = lambda images, labels: (tf.cast(images, tf.float32) / 255, labels)  # noqa: E731
    return examples.map(scale, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
