"""The network `whitened` in PyTorch, layer by layer as in Keras."""

from collections.abc import Iterator

import torch
from torch import nn

from pipeline.models import whitening

_WIDTHS = (64, 256, 256)


class Whitened(nn.Module):
    """A fixed convolution, then three stages of convolution, pool, normalization, GELU and one more convolution."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        filters = torch.from_numpy(whitening.filters(channels)).permute(3, 2, 0, 1)
        self.register_buffer("filters", filters.contiguous())
        self.stages = nn.Sequential(*_stages(8 * channels))
        self.logits = nn.Linear(_WIDTHS[-1], num_classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, channels, height, width] -> logits [n, num_classes]."""
        x = nn.functional.gelu(nn.functional.conv2d(x - 0.5, self.filters.to(x.dtype)))
        return self.logits(self.stages(x).amax((2, 3))) / 9


def _stages(channels: int) -> Iterator[nn.Module]:
    for filters in _WIDTHS:
        yield from (_convolution(channels, filters), nn.MaxPool2d(2), *_normalized(filters))
        yield from (_convolution(filters, filters), *_normalized(filters))
        channels = filters


def _convolution(channels: int, filters: int) -> nn.Module:
    """The first filters begin by passing their channels on."""
    convolution = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight.data[:channels])
    return convolution


def _normalized(filters: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(filters, momentum=0.4), nn.GELU()
