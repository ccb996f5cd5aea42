"""Residual networks for images of about 32 x 32: (image_shape, num_classes) -> keras.Model. Logits are float32."""

import keras
from keras import layers

from pipeline.models.layers import ImageShape, he_normal, normalized


def resnet18(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """ResNet-18 (He et al. 2016, table 1), whose first layer is 3 x 3 without a pool: 11.2 million parameters.

    Shortcuts between other sizes are projections (option B).
    """
    images, x = _begun(image_shape, 64)
    x = layers.ReLU(name="relu")(normalized(x, "norm"))
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for block in (1, 2):
            x = _block(x, filters, stride=2 if stage > 1 and block == 1 else 1, name=f"stage{stage}_block{block}")
    return _ended(images, x, num_classes, "resnet18")


def wideresnet(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """WRN-16-4 (Zagoruyko & Komodakis 2016): 16 layers of 4 times the width, 2.7 million parameters."""
    return _wide("wideresnet", image_shape, num_classes, blocks=2, width=4)


def wideresnet28_10(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """WRN-28-10 (Zagoruyko & Komodakis 2016): 28 layers of 10 times the width, 36.5 million parameters."""
    return _wide("wideresnet28_10", image_shape, num_classes, blocks=4, width=10)


def _wide(name: str, image_shape: ImageShape, num_classes: int, blocks: int, width: int) -> keras.Model:
    """Three stages of blocks that are normalized and rectified before each convolution (section 3 of the paper)."""
    images, x = _begun(image_shape, 16)
    for stage, filters in enumerate((16 * width, 32 * width, 64 * width), start=1):
        for block in range(1, blocks + 1):
            x = _wide_block(x, filters, stride=2 if stage > 1 and block == 1 else 1, name=f"stage{stage}_block{block}")
    x = layers.ReLU(name="relu")(normalized(x, "norm"))
    return _ended(images, x, num_classes, name)


def _begun(image_shape: ImageShape, filters: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The images, and the first convolution of them, centred: 0.5 stands for the data's mean, as in resnet20."""
    images = keras.Input(image_shape, name="images")
    centred = layers.Rescaling(2.0, offset=-1.0, name="centred")(images)
    return images, _convolution(centred, filters, 3, 1, "conv")


def _ended(images: keras.KerasTensor, x: keras.KerasTensor, num_classes: int, name: str) -> keras.Model:
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(num_classes, kernel_initializer=he_normal(), dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name=name)


def _block(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """relu(shortcut(x) + two normalized convolutions of x)."""
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = normalized(_convolution(x, filters, 1, stride, f"{name}_shortcut"), f"{name}_shortcut_norm")
    x = normalized(_convolution(x, filters, 3, stride, f"{name}_conv1"), f"{name}_norm1")
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = normalized(_convolution(x, filters, 3, 1, f"{name}_conv2"), f"{name}_norm2")
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _wide_block(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """shortcut(x) + two convolutions, each of what was normalized and rectified before."""
    rectified = layers.ReLU(name=f"{name}_relu1")(normalized(x, f"{name}_norm1"))
    shortcut = x if x.shape[-1] == filters else _convolution(rectified, filters, 1, stride, f"{name}_shortcut")
    x = _convolution(rectified, filters, 3, stride, f"{name}_conv1")
    x = layers.ReLU(name=f"{name}_relu2")(normalized(x, f"{name}_norm2"))
    return layers.Add(name=f"{name}_add")([shortcut, _convolution(x, filters, 3, 1, f"{name}_conv2")])


def _convolution(x: keras.KerasTensor, filters: int, size: int, stride: int, name: str) -> keras.KerasTensor:
    """A window of size x size around every stride-th pixel, also at the edges."""
    if stride > 1 and size > 1:  # "same" would pad the last edge alone
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(
        filters, size, stride, padding, use_bias=False, kernel_initializer=he_normal(), name=name
    )(x)  # fmt: skip
