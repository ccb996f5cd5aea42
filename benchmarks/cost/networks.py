"""The gradients of two networks: how large each tensor is, and when the backward pass has it. PURE."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.engine import reduce

BUCKET = 1 << 20  # elements, as in pipeline.workers.gradient_sum
ELEMENT = 4  # bytes
_BLOCKS_OF_50 = (3, 4, 6, 3)
_NORMALIZED = 3  # tensors of a convolution without bias that is normalized


class Layer(NamedTuple):
    """A layer with parameters: the sizes of its tensors, and the products of one example's way through it."""

    tensors: tuple[int, ...]  # elements
    products: int


class Bucket(NamedTuple):
    """Tensors that travel together, and the share of a step's computation after which the last of them is there."""

    elements: int
    ready: float


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as the all-reduce sees it."""

    name: str
    layers: Sequence[Layer]  # in the order of the forward pass
    statistics: int  # elements that travel besides

    @property
    def elements(self) -> int:
        """The number of parameters."""
        return sum(sum(layer.tensors) for layer in self.layers)

    @property
    def state_bytes(self) -> int:
        """The size of a checkpoint with Adam's two slots."""
        return ELEMENT * (3 * self.elements + self.statistics)

    def buckets(self) -> list[Bucket]:
        """The buckets in the order in which they travel.

        A third of a layer's products is in the forward pass, two thirds are in the backward pass.
        """
        total, done = 3 * sum(layer.products for layer in self.layers), sum(layer.products for layer in self.layers)
        sizes, ready = [self.statistics + 3], [done / total]  # with the loss, the hits and the wish to stop
        for layer in reversed(self.layers):
            done += 2 * layer.products
            sizes += reversed(layer.tensors)
            ready += [done / total] * len(layer.tensors)
        packed = reduce.buckets(sizes, BUCKET)
        return [Bucket(sum(sizes[i] for i in members), ready[members[-1]]) for members in packed]


def _dense(inputs: int, units: int) -> Layer:
    return Layer((inputs * units, units), inputs * units)


def _convolutional() -> Iterator[Layer]:
    """Of 28 x 28 grey images: two convolutions of 5 x 5 with pools, and a layer of 1,024."""
    yield Layer((25 * 1 * 32, 32), 28 * 28 * 25 * 1 * 32)
    yield Layer((25 * 32 * 64, 64), 14 * 14 * 25 * 32 * 64)
    yield _dense(7 * 7 * 64, 1024)
    yield _dense(1024, 10)


def _normalized(size: int, inputs: int, filters: int, side: int) -> Layer:
    """A convolution without bias, and its normalization's scale and offset."""
    kernel = size * size * inputs * filters
    return Layer((kernel, filters, filters), side * side * kernel)


def _resnet50() -> Iterator[Layer]:
    """Of 224 x 224 colour images of 1,000 classes (He et al. 2016, table 1), the stride in the window of 3 x 3."""
    yield _normalized(7, 3, 64, 112)
    inputs, side = 64, 56
    for stage, blocks in enumerate(_BLOCKS_OF_50):
        filters = 64 << stage
        for block in range(blocks):
            before, side = side, side // 2 if stage and not block else side
            if not block:
                yield _normalized(1, inputs, 4 * filters, side)  # the shortcut
            yield _normalized(1, inputs, filters, before)
            yield _normalized(3, filters, filters, side)
            yield _normalized(1, filters, 4 * filters, side)
            inputs = 4 * filters
    yield _dense(2048, 1000)


def _network(name: str, layers: Sequence[Layer]) -> Network:
    """The statistics are a mean and a variance for each filter that is normalized."""
    return Network(name, layers, 2 * sum(layer.tensors[-1] for layer in layers if len(layer.tensors) == _NORMALIZED))


CONVOLUTIONAL = _network("convolutional", tuple(_convolutional()))
RESNET50 = _network("resnet50", tuple(_resnet50()))
