"""The deep convnet as Keras' users write it, and its data as they feed it."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.task import SHUFFLE_BUFFER, Task

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def model(task: Task, image_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """Conv2D with ReLU, MaxPooling2D, twice; a dense layer with dropout; logits in float32."""
    assert task.model == "convolutional", "this contender knows one model"
    keras.config.set_dtype_policy(_POLICIES[task.precision])
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


def dataset(images: np.ndarray, labels: np.ndarray, batch: int) -> tf.data.Dataset:
    """Shuffled batches without end: images [batch, height, width, channels] float32 in [0, 1], labels [batch]."""
    examples = tf.data.Dataset.from_tensor_slices((images, labels))
    examples = examples.shuffle(SHUFFLE_BUFFER).repeat().batch(batch, drop_remainder=True)
    scale = lambda images, labels: (tf.cast(images, tf.float32) / 255, labels)  # noqa: E731
    return examples.map(scale, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
