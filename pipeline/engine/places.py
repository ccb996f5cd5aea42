"""Places of operations that are no tower: no device, and the host's memory beside whatever tower computes."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.random import SeedGenerator

ON_HOST = "on_host"  # the scope of operations that belong to no tower, though the name of one stands before it


@contextlib.contextmanager
def unplaced() -> Iterator[None]:
    """Functions that are traced inside have operations on no device. They lie where the function is called."""
    with tf.init_scope(), tf.device(None):
        yield


def keep_seeds_on_host(model: keras.Model) -> None:
    """Lets the model's random layers make their seeds on the host, where TensorFlow's kernels for GPUs want them.

    Keras makes them on the layer's device, from which they would come back while all kernels wait.
    """
    for layer in model._flatten_layers():
        for generator in filter(lambda value: isinstance(value, SeedGenerator), vars(layer).values()):
            generator.next = functools.partial(_next_on_host, generator)


def _next_on_host(generator: SeedGenerator, **options: Any) -> tf.Tensor:
    """The generator's next seed, [2] int32, as Keras makes one of it."""
    with tf.device("/device:CPU:0"), tf.name_scope(f"{ON_HOST}/"):
        seed = SeedGenerator.next(generator, **options)
        return tf.cast(tf.math.floormod(seed, tf.int32.max - 1), tf.int32)
