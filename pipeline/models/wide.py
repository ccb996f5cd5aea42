"""Wide residual networks (Zagoruyko & Komodakis 2016): (image_shape, num_classes) -> keras.Model."""

import keras
from keras import layers

from pipeline.models.layers import ImageShape
from pipeline.models.residual_parts import begun, convolution, ended, rectified


def wideresnet(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """WRN-16-4: 16 layers of 4 times the width, 2.7 million parameters."""
    return _wide("wideresnet", image_shape, num_classes, blocks=2, width=4)


def wideresnet28_10(image_shape: ImageShape, num_classes: int) -> keras.Model:
    """WRN-28-10: 28 layers of 10 times the width, 36.5 million parameters."""
    return _wide("wideresnet28_10", image_shape, num_classes, blocks=4, width=10)


def _wide(name: str, image_shape: ImageShape, num_classes: int, blocks: int, width: int) -> keras.Model:
    """Three stages of blocks that are normalized and rectified before each convolution (section 3)."""
    images, x = begun(image_shape, 16)
    for stage, filters in enumerate((16 * width, 32 * width, 64 * width), start=1):
        for block in range(1, blocks + 1):
            x = _block(x, filters, stride=2 if stage > 1 and block == 1 else 1, name=f"stage{stage}_block{block}_")
    return ended(images, rectified(x, ""), num_classes, name)


def _block(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """shortcut(x) + two convolutions, each of what was normalized and rectified before."""
    before = rectified(x, name, "1")
    shortcut = x if x.shape[-1] == filters else convolution(before, filters, 1, stride, f"{name}shortcut")
    x = rectified(convolution(before, filters, 3, stride, f"{name}conv1"), name, "2")
    return layers.Add(name=f"{name}add")([shortcut, convolution(x, filters, 3, 1, f"{name}conv2")])
