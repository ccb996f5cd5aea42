"""Residual networks (He et al. 2016): (image_shape, num_classes) -> keras.Model. Logits are float32."""

import keras
from keras import layers, ops

from pipeline.errors import UsageError
from pipeline.models.layers import ImageShape, normalized
from pipeline.models.residual_parts import begun, convolution, ended, joined, projected, rectified

_BLOCKS_OF_50 = (3, 4, 6, 3)  # in each stage of resnet50
_WIDENING = 4  # of its blocks: filters of their outputs / filters inside
_LEAST_SIDE = 32  # of its images: with less, nothing is left of them before the last stage


def resnet20(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """The network of 20 layers and 0.27 million parameters for images of 32 x 32 (section 4.2).

    Shortcuts have no parameters (option A).
    """
    images, x = begun(image_shape, 16)
    x = rectified(x, "")
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in (1, 2, 3):
            name, stride = f"stage{stage}_block{block}_", _stride(stage, block)
            x = _block(x, _subsampled(x, filters, stride, name), filters, stride, name)
    return ended(images, x, num_classes, "resnet20")


def resnet18(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """ResNet-18 (table 1) for images of 32 x 32: its first layer is 3 x 3, without a pool; 11.2 million parameters."""
    images, x = begun(image_shape, 64)
    x = rectified(x, "")
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for block in (1, 2):
            name, stride = f"stage{stage}_block{block}_", _stride(stage, block)
            x = _block(x, projected(x, filters, stride, name), filters, stride, name)
    return ended(images, x, num_classes, "resnet18")


def resnet50(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """ResNet-50 (table 1) for photographs: 25.6 million parameters with 1,000 classes.

    As in most later work, a block has its stride in the window of 3 x 3, and no convolution has a bias: the
    normalization behind it would take it away. keras:ResNet50 is the network with biases, which published values fit.
    """
    height, width, _ = image_shape
    if min(height, width) < _LEAST_SIDE:
        raise UsageError(f"images of {height} x {width} are too small for it; use --image_size={_LEAST_SIDE} or more")
    images, x = begun(image_shape, 64, size=7, stride=2)
    x = layers.ZeroPadding2D(1, name="maximum_pad")(rectified(x, ""))  # rectified, so that 0 is never the largest
    x = layers.MaxPooling2D(3, strides=2, name="maximum")(x)
    for stage, blocks in enumerate(_BLOCKS_OF_50, start=1):
        for block in range(1, blocks + 1):
            x = _bottleneck(x, 64 << (stage - 1), _stride(stage, block), f"stage{stage}_block{block}_")
    return ended(images, x, num_classes, "resnet50")


def _stride(stage: int, block: int) -> int:
    return 2 if stage > 1 and block == 1 else 1


def _block(
    x: keras.KerasTensor, shortcut: keras.KerasTensor, filters: int, stride: int, name: str
) -> keras.KerasTensor:
    """relu(shortcut + two normalized convolutions of x)."""
    x = rectified(convolution(x, filters, 3, stride, f"{name}conv1"), name, "1")
    x = normalized(convolution(x, filters, 3, 1, f"{name}conv2"), f"{name}norm2")
    return joined(shortcut, x, name, "2")


def _bottleneck(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """relu(shortcut + normalized convolutions of 1 x 1, 3 x 3 and 1 x 1 of x)."""
    shortcut = projected(x, _WIDENING * filters, stride, name)
    x = rectified(convolution(x, filters, 1, 1, f"{name}conv1"), name, "1")
    x = rectified(convolution(x, filters, 3, stride, f"{name}conv2"), name, "2")
    x = normalized(convolution(x, _WIDENING * filters, 1, 1, f"{name}conv3"), f"{name}norm3")
    return joined(shortcut, x, name, "3")


def _subsampled(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """A shortcut without parameters: every stride-th pixel of x, with zeros for the further filters (option A)."""
    if stride == 1:
        return x
    x_there = layers.MaxPooling2D(1, strides=stride, padding="same", name=f"{name}shortcut")(x)
    return ops.pad(x_there, [[0, 0], [0, 0], [0, 0], [0, filters - x.shape[-1]]])
