"""A split of picture files, which are read when their turn comes."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.errors import BadDataError
from pipeline.sources import fingerprints, images, listing
from pipeline.sources.base import Original
from pipeline.sources.labels import Labels, Lookup, Weights, by_example, of_example
from pipeline.storage.reading import open_regular


class Example(NamedTuple):
    """An image file and its labels."""

    name: str  # decides its place among the others; see `order`
    path: str
    label: int | tuple[int, ...]  # of multi-label data, any number
    listed: str = ""  # where a file lists it, as it stands before the path in a message
    weight: float | None = None  # of its loss; all examples of a split have one, or none has


def _short(path: str) -> str:
    """CLASS/FILE, of a path in a folder of classes."""
    return "/".join(path.split("/")[-2:])


def _table(labels: Sequence[int | tuple[int, ...]]) -> Labels:
    """The labels of all examples, of each of which there is one, or of each a tuple."""
    if all(isinstance(label, int) for label in labels):
        return np.array(labels, np.int32)
    several = [label if isinstance(label, tuple) else (label,) for label in labels]
    numbers = np.array(list(itertools.chain(*several)), np.int32)
    return by_example(numbers, np.array(list(map(len, several)), np.int64))


def _weights(weights: Sequence[float | None]) -> Weights | None:
    known = [weight for weight in weights if weight is not None]
    return np.array(known, np.float32) if known else None


class PictureFiles:
    """One split: the files, in an order that depends on nothing but their names."""

    encoded = True

    def __init__(
        self,
        examples: Sequence[Example],
        sizes: Sequence[int],
        class_names: tuple[str, ...],
        image_shape: images.ImageShape,
    ) -> None:
        """sizes: of each example's file, in bytes."""
        self.class_names, self.image_shape, self.sizes = class_names, image_shape, sizes
        names = [example.name for example in examples]
        as_paths = all(_short(e.path) == e.name for e in examples)
        self._names = None if as_paths else names
        self._paths = tf.constant([os.fsencode(example.path) for example in examples], tf.string)
        labels = _table([example.label for example in examples])
        self._labels = Lookup(labels, len(class_names))
        self.fingerprint = {
            "file names": fingerprints.digest("\0".join(names)),
            "labels": fingerprints.digest(labels, *class_names),
            "file sizes": fingerprints.digest(np.array(sizes, np.int64)),
        }
        self.weights = _weights([example.weight for example in examples])
        if self.weights is not None:
            self.fingerprint["weights"] = fingerprints.digest(self.weights)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def labels(self) -> Labels:
        return self._labels.array

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self._paths, indices), self._labels(indices)

    def decode(self, raw: tf.Tensor, window: images.Window | None = None) -> tf.Tensor:
        return images.decode_batch(raw, self.image_shape, window, read=tf.io.read_file)

    def paths(self, indices: Sequence[int]) -> list[str]:
        """The paths of examples' files, as the operating system takes them."""
        return [os.fsdecode(path) for path in tf.gather(self._paths, tf.constant(indices, tf.int64)).numpy()]

    def original(self, index: int) -> Original:
        [path] = self.paths([index])
        try:
            with open_regular(Path(path)) as file:
                content = file.read()
        except OSError as error:
            raise BadDataError(
                f"{listing.printable(path)} cannot be read ({error.strerror}); replace or remove it"
            ) from None
        name = self._names[index] if self._names else _short(path)
        return Original(name, of_example(self.labels, index), content)

    def where(self, index: int) -> str:
        return listing.printable(self.paths([index])[0])
