"""A split that lies in memory, decoded."""

from functools import cached_property
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from pipeline.sources import fingerprints
from pipeline.sources import images as pictures
from pipeline.sources.base import Original, as_png
from pipeline.sources.fingerprints import Fingerprint
from pipeline.sources.labels import Labels, Lookup


class InMemory:
    """Images [n, height, width, channels] uint8 and labels as `Source.labels` has them, gathered by index."""

    weights = None  # all examples weigh as much
    encoded = False

    def __init__(
        self, images: npt.NDArray[Any], labels: npt.NDArray[Any], class_names: tuple[str, ...], name: str
    ) -> None:
        self.class_names = class_names
        self.image_shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
        self._name = name
        # Eager tensors, which a tf.data function captures; NumPy arrays would become constants of every graph.
        self._images, self._labels = tf.constant(images, tf.uint8), Lookup(labels, len(class_names))

    def __len__(self) -> int:
        return len(self._images)

    @property
    def labels(self) -> Labels:
        return self._labels.array

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Hashes of all pixels and labels: 47 MB take 30 ms."""
        return {
            "images": fingerprints.digest(self._images.numpy()),
            "labels": fingerprints.digest(self.labels, *self.class_names),
        }

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self._images, indices), self._labels(indices)

    def decode(self, raw: tf.Tensor, window: pictures.Window | None = None) -> tf.Tensor:
        return pictures.windows(raw, window, self.image_shape) if window else raw

    def original(self, index: int) -> Original:
        return as_png(self, index)

    def where(self, index: int) -> str:
        return f"{self._name}: example {index}"
