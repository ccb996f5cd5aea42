"""The parts of residual networks: the first convolution, windows, the logits."""

import keras
from keras import layers

from pipeline.models.layers import ImageShape, he_normal, normalized


def begun(
    image_shape: ImageShape, filters: int, size: int = 3, stride: int = 1
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The images, and the first convolution of them, centred. The papers subtract the data's mean, here 0.5."""
    images = keras.Input(image_shape, name="images")
    centred = layers.Rescaling(2.0, offset=-1.0, name="centred")(images)
    return images, convolution(centred, filters, size, stride, "conv")


def convolution(x: keras.KerasTensor, filters: int, size: int, stride: int, name: str) -> keras.KerasTensor:
    """A window of size x size around every stride-th pixel, also at the edges."""
    if stride > 1 and size > 1:  # "same" would pad the last edge alone, and shift the windows off the shortcut's pixels
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(
        filters, size, stride, padding, use_bias=False, kernel_initializer=he_normal(), name=name
    )(x)  # fmt: skip


def rectified(x: keras.KerasTensor, name: str, number: str = "") -> keras.KerasTensor:
    """Normalized, then rectified: the layers NAMEnormNUMBER and NAMEreluNUMBER."""
    return layers.ReLU(name=f"{name}relu{number}")(normalized(x, f"{name}norm{number}"))


def joined(shortcut: keras.KerasTensor, x: keras.KerasTensor, name: str, number: str) -> keras.KerasTensor:
    """relu(shortcut + x): the layers NAMEadd and NAMEreluNUMBER."""
    return layers.ReLU(name=f"{name}relu{number}")(layers.Add(name=f"{name}add")([shortcut, x]))


def projected(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """The shortcut of a block: x itself, or where the filters differ, a projection (He et al. 2016, option B)."""
    if x.shape[-1] == filters:
        return x
    return normalized(convolution(x, filters, 1, stride, f"{name}shortcut"), f"{name}shortcut_norm")


def ended(images: keras.KerasTensor, x: keras.KerasTensor, num_classes: int, name: str) -> keras.Model:
    """The model, with logits of the means of x over all pixels, in float32."""
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(num_classes, kernel_initializer=he_normal(), dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name=name)
