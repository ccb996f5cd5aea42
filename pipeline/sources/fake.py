"""fake[:NUMBER]: random images, for trying everything else out. Nothing can be learned from them."""

import numpy as np
import tensorflow as tf

from pipeline.config import Config
from pipeline.random.keys import Purpose, fold_in
from pipeline.sources import fingerprints, images
from pipeline.sources.base import Original, Source, as_png
from pipeline.sources.labels import NO_CLASS, Labels, Lookup

SIDE = 28  # pixels, height and width


def own_splits(argument: str, config: Config) -> dict[str, Source]:
    """`argument` examples to train on and validate with, and a sixth as many to test on."""
    kind = FakeMultiLabel if config.multi_label else Fake
    return {"train": kind(int(argument), stream=0), "test": kind(max(1, int(argument) // 6), stream=1)}


class Fake:
    """Images whose every pixel is a pure function of the stream and the index; the label is the index modulo 10."""

    class_names = tuple("0123456789")
    image_shape = (SIDE, SIDE, 1)
    weights = None  # all examples weigh as much
    encoded = False

    def __init__(self, length: int, stream: int) -> None:
        self._length, self._stream = length, stream
        self.fingerprint = {"numbers": fingerprints.digest(length, stream)}

    def __len__(self) -> int:
        return self._length

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.convert_to_tensor(indices), tf.cast(indices % 10, tf.int32)

    @property
    def labels(self) -> Labels:
        return np.arange(self._length, dtype=np.int32) % 10

    def decode(self, raw: tf.Tensor, window: images.Window | None = None) -> tf.Tensor:
        eights = tf.range(SIDE * SIDE // 8)  # of pixels, to a 64-bit key
        keys = fold_in(self._stream, Purpose.EXAMPLE, raw[:, None], eights)
        pixels = tf.reshape(tf.bitcast(keys, tf.uint8), [-1, *self.image_shape])
        return images.windows(pixels, window, self.image_shape) if window else pixels

    def original(self, index: int) -> Original:
        return as_png(self, index)

    def where(self, index: int) -> str:
        return f"fake: example {index}"


class FakeMultiLabel(Fake):
    """The same images with 0, 1 or 2 labels each: the index and its tenth, modulo 10; one of every three has none."""

    def __init__(self, length: int, stream: int) -> None:
        super().__init__(length, stream)
        self.fingerprint = {"numbers": fingerprints.digest(length, stream, "multi-label")}
        indices = np.arange(length, dtype=np.int32)
        first, second = indices % 10, indices // 10 % 10
        table = np.stack([first, np.where(first == second, NO_CLASS, second)], axis=1)
        table[indices % 3 == 2] = NO_CLASS
        self._labels = Lookup(table, len(self.class_names))

    @property
    def labels(self) -> Labels:
        return self._labels.array

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.convert_to_tensor(indices), self._labels(indices)
