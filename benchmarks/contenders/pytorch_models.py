"""The models in PyTorch, layer by layer as in Keras."""

from collections.abc import Iterator

import torch
from torch import nn

_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # of ResNet-50: filters inside a block, blocks
_WIDENING = 4  # of a block: filters of its output / filters inside


class DeepConvnet(nn.Module):
    """5x5x32, pool, 5x5x64, pool, 1024, dropout, logits; for images whose sides are multiples of 4."""

    def __init__(self, channels: int, pixels: int, num_classes: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 32, 5, padding=2), nn.Conv2d(32, 64, 5, padding=2)
        self.fc1, self.fc2 = nn.Linear(pixels // 16 * 64, 1024), nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, channels, height, width] -> logits [n, num_classes]."""
        for convolution in (self.conv1, self.conv2):
            x = nn.functional.max_pool2d(nn.functional.relu(convolution(x)), 2)
        x = self.dropout(nn.functional.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)


class ResNet20(nn.Module):
    """The ResNet of 20 layers for small images, with shortcuts without parameters."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.stem = nn.Sequential(*_convolution(channels, 16, 3), nn.ReLU(inplace=True))
        widths = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
        self.blocks = nn.Sequential(*(_BasicBlock(before, filters) for before, filters in widths))
        self.logits = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, channels, height, width] -> logits [n, num_classes]."""
        return self.logits(self.blocks(self.stem(2 * x - 1)).mean((2, 3)))


class _BasicBlock(nn.Module):
    """relu(x + two 3x3 convolutions of x); with more filters, every second pixel of x and channels of zeros."""

    def __init__(self, channels: int, filters: int):
        super().__init__()
        self.stride, self.new_channels = filters // channels, filters - channels
        self.inside = nn.Sequential(
            *(*_convolution(channels, filters, 3, self.stride), nn.ReLU(inplace=True)),
            *_convolution(filters, filters, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x
        if self.new_channels:
            shortcut = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], [0, 0, 0, 0, 0, self.new_channels])
        return nn.functional.relu(shortcut + self.inside(x), inplace=True)


class ResNet50(nn.Module):
    """ResNet-50 with the stride in the window of 3 x 3, and without biases before normalization."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.stem = nn.Sequential(
            *_convolution(channels, 64, 7, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
        self.blocks = nn.Sequential(*_blocks())
        self.logits = nn.Linear(_STAGES[-1][0] * _WIDENING, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, channels, height, width] -> logits [n, num_classes]."""
        return self.logits(self.blocks(self.stem(2 * x - 1)).mean((2, 3)))


class _Block(nn.Module):
    """relu(shortcut(x) + 1x1, 3x3 and 1x1 convolutions of x)."""

    def __init__(self, channels: int, filters: int, stride: int):
        super().__init__()
        wide = filters * _WIDENING
        self.shortcut = nn.Sequential(*_convolution(channels, wide, 1, stride)) if channels != wide else nn.Identity()
        self.inside = nn.Sequential(
            *(*_convolution(channels, filters, 1), nn.ReLU(inplace=True)),
            *(*_convolution(filters, filters, 3, stride), nn.ReLU(inplace=True)),
            *_convolution(filters, wide, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.shortcut(x) + self.inside(x), inplace=True)


def _blocks() -> Iterator[nn.Module]:
    channels = 64
    for stage, (filters, number) in enumerate(_STAGES):
        for block in range(number):
            yield _Block(channels, filters, stride=2 if stage and not block else 1)
            channels = filters * _WIDENING


def _convolution(channels: int, filters: int, size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """With its normalization."""
    convolution = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(filters)
