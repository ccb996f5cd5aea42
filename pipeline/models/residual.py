"""Residual networks: (image_shape, num_classes) -> keras.Model. Logits are float32 under every precision."""

import keras
from keras import layers, ops

from pipeline.errors import UsageError
from pipeline.models.layers import ImageShape, he_normal, normalized, with_fused_normalization

_BLOCKS = 3  # in each stage of resnet20: 3 stages of 3 blocks of 2 convolutions, one before and the logits behind
_LEAST_SIDE = 32  # of resnet50's images: with less, nothing is left of them before the last stage


def resnet20(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """The network of 20 layers and 0.27 million parameters for images of 32 x 32 (He et al. 2016, section 4.2).

    Shortcuts have no parameters (option A). The paper subtracts the data's mean; here 0.5 stands for it.
    """
    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(2.0, offset=-1.0, name="centred")(images)
    x = layers.ReLU(name="relu")(normalized(_convolution(x, 16, 1, "conv"), "norm"))
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in range(1, _BLOCKS + 1):
            x = _block(x, filters, stride=2 if stage > 1 and block == 1 else 1, name=f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(num_classes, kernel_initializer=he_normal(), dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="resnet20")


def _block(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """relu(shortcut(x) + two normalized convolutions of x)."""
    shortcut = x
    if stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride, padding="same", name=f"{name}_shortcut")(x)
        shortcut = ops.pad(shortcut, [[0, 0], [0, 0], [0, 0], [0, filters - x.shape[-1]]])
    x = normalized(_convolution(x, filters, stride, f"{name}_conv1"), f"{name}_norm1")
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = normalized(_convolution(x, filters, 1, f"{name}_conv2"), f"{name}_norm2")
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _convolution(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """A window of 3 x 3 around every stride-th pixel."""
    if stride > 1:  # "same" would pad the last edge alone, and shift the windows away from the shortcut's pixels
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(filters, 3, stride, padding, use_bias=False, kernel_initializer=he_normal(), name=name)(x)


def resnet50(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """Keras' ResNet-50 (He et al. 2016) from fresh values, behind the preprocessing that it is published with.

    Images in [0, 1] become BGR levels around ImageNet's mean; grey ones are taken as three equal colours.
    """
    height, width, channels = image_shape
    if min(height, width) < _LEAST_SIDE:
        raise UsageError(f"images of {height} x {width} are too small for it; use --image_size={_LEAST_SIDE} or more")
    images = x = keras.Input(image_shape, name="images")
    if channels == 1:
        x = layers.Concatenate(name="colours")([x, x, x])
    x = keras.applications.resnet.preprocess_input(layers.Rescaling(255.0, name="levels")(x))
    network = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x, pooling="avg")
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(network.output)
    return with_fused_normalization(keras.Model(images, logits, name="resnet50_classifier"))
