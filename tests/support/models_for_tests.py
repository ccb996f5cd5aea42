"""Models that a user might bring: given to --model as models_for_tests:NAME."""

import os
import time
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers
from lying import lying

from pipeline.engine import forward


def batch_norm(image_shape, num_classes):
    """A small convolution with running statistics and two random layers, none of them named by hand."""
    return keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.2),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(num_classes),
        ]
    )


def linear(image_shape, num_classes):
    """One matrix and nothing else, so that its gradient can be written down."""
    images = keras.Input(image_shape)
    start = keras.initializers.RandomNormal(stddev=0.1)
    logits = layers.Dense(num_classes, use_bias=False, kernel_initializer=start, name="logits")
    return keras.Model(images, logits(layers.Flatten()(images)))


def gelu(image_shape, num_classes):
    """Keras' GELU of the pixels."""
    images = keras.Input(image_shape)
    logits = layers.Dense(num_classes, name="logits")
    return keras.Model(images, logits(layers.Activation("gelu")(layers.Flatten()(images))))


def normalized(image_shape, num_classes):
    """Running statistics of the pixels themselves, so that they too can be written down."""
    images = keras.Input(image_shape)
    pixels = layers.BatchNormalization(momentum=0.75, name="norm")(layers.Flatten()(images))
    return keras.Model(images, layers.Dense(num_classes, name="logits")(pixels))


class _Subclassed(keras.Model):
    def __init__(self, num_classes):
        super().__init__()
        self.flatten, self.head = layers.Flatten(), layers.Dense(num_classes)

    def call(self, images):
        return self.head(self.flatten(images))


def subclassed(image_shape, num_classes):
    """A model whose variables wait for the first input."""
    return _Subclassed(num_classes)


class _Twins(keras.Model):
    def __init__(self, num_classes):
        super().__init__()
        self.flatten = layers.Flatten()
        self.left, self.right = layers.Dense(num_classes, name="twin"), layers.Dense(num_classes, name="twin")

    def call(self, images):
        return self.left(self.flatten(images)) + self.right(self.flatten(images))


def twins(image_shape, num_classes):
    """Two layers of one name."""
    return _Twins(num_classes)


class _Waits(layers.Layer):
    """Lets nothing through while the file that STUCK names is there; one with .felt then tells that it was seen."""

    def call(self, images):
        free = tf.numpy_function(self._wait, [], tf.bool, stateful=True)
        with tf.control_dependencies([free]):
            return tf.identity(images)

    @staticmethod
    def _wait():
        stuck = Path(os.environ.get("STUCK", ""))
        while stuck.is_file():
            stuck.with_suffix(".felt").touch()
            time.sleep(0.1)
        return True


def waits(image_shape, num_classes):
    """Stands for a read that does not come back."""
    images = keras.Input(image_shape)
    return keras.Model(images, layers.Dense(num_classes)(layers.Flatten()(_Waits()(images))))


def raises(image_shape, num_classes):
    """Fails in its own file."""
    return len(image_shape) / 0


def no_model(image_shape, num_classes):
    """Forgets to make a model."""
    return layers.Dense(num_classes)


def no_logits(image_shape, num_classes):
    """Leaves out the last layer."""
    images = keras.Input(image_shape)
    return keras.Model(images, layers.Flatten()(images))


def two_outputs(image_shape, num_classes):
    """Returns features beside the logits."""
    images = keras.Input(image_shape)
    features = layers.Flatten()(images)
    return keras.Model(images, [layers.Dense(num_classes)(features), features])


def no_parameters(image_shape, num_classes):
    """Has nothing to train."""
    images = keras.Input((*image_shape[:2], num_classes))
    return keras.Model(images, layers.GlobalAveragePooling2D()(images))


not_a_function = 1


class _OnGpuOnly(layers.Layer):
    def call(self, images):
        reduced = tf.raw_ops.NcclAllReduce(
            input=tf.stop_gradient(images), reduction="sum", num_devices=1, shared_name="reduced"
        )
        return images + 0 * reduced

    def compute_output_shape(self, input_shape):
        return input_shape


def needs_a_gpu(image_shape, num_classes):
    """Has an operation that TensorFlow has no kernel for on a CPU."""
    images = keras.Input(image_shape)
    return keras.Model(images, layers.Dense(num_classes)(layers.Flatten()(_OnGpuOnly()(images))))


class _Digamma(layers.Layer):
    def call(self, images):
        return tf.math.digamma(images + 1)


def needs_tensorflow(image_shape, num_classes):
    """Has a layer of its own, of an operation that neither TensorFlow Lite nor ONNX knows."""
    images = keras.Input(image_shape)
    return keras.Model(images, layers.Dense(num_classes)(layers.Flatten()(_Digamma(name="digamma")(images))))


def offset(image_shape, num_classes):
    """Is made with a constant that is no variable, as the preprocessing of Keras' applications is."""
    images = keras.Input(image_shape)
    mean = keras.ops.convert_to_tensor([[[[0.5]]]])
    return keras.Model(images, layers.Dense(num_classes)(layers.Flatten()(keras.ops.subtract(images, mean))))


def lies(image_shape, num_classes):
    """Makes the device whose name ends with LIAR's compute a wrong number, in a process of its own."""
    if liar := os.environ.get("LIAR"):
        forward.computing = lying(forward.computing, lambda device: device.endswith(liar))
    images = keras.Input(image_shape)
    return keras.Model(images, layers.Dense(num_classes)(layers.Flatten()(images)))


class _Poisoned(layers.Layer):
    """Turns an image into NaN if the sum of its bytes is one of those in POISON."""

    def call(self, images):
        sums = tf.reduce_sum(tf.cast(tf.round(images * 255), tf.int32), axis=[1, 2, 3])
        poison = tf.constant([int(word) for word in os.environ.get("POISON", "-1").split(",")])
        is_poison = tf.reduce_any(sums[:, None] == poison, axis=1)
        return tf.where(is_poison[:, None, None, None], float("nan"), images)


def poisoned(image_shape, num_classes):
    """Diverges at some examples."""
    images = keras.Input(image_shape)
    flat = layers.Dropout(0.2)(layers.Flatten()(_Poisoned()(images)))
    return keras.Model(images, layers.Dense(num_classes)(flat))
