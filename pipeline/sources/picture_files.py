"""A split of picture files, which are read when their turn comes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.errors import BadDataError
from pipeline.sources import fingerprints, images, listing
from pipeline.sources.base import Original
from pipeline.storage.reading import open_regular


class Example(NamedTuple):
    """An image file and its label."""

    name: str  # its path below the split's directory
    path: str
    label: int
    listed: str = ""  # where a file lists it, as it stands before the path in a message


def _short(path: str) -> str:
    """CLASS/FILE, of a path in a folder of classes."""
    return "/".join(path.split("/")[-2:])


class PictureFiles:
    """One split: the files, in an order that depends on nothing but their names."""

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
        self._labels = tf.constant([example.label for example in examples], tf.int32)
        labels = self._labels.numpy()
        self.fingerprint = {
            "file names": fingerprints.digest("\0".join(names)),
            "labels": fingerprints.digest(labels, *class_names),
            "file sizes": fingerprints.digest(np.array(sizes, np.int64)),
        }

    def __len__(self) -> int:
        return len(self._labels)

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self._paths, indices), tf.gather(self._labels, indices)

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
        return Original(name, int(self._labels[index]), content)

    def where(self, index: int) -> str:
        return listing.printable(self.paths([index])[0])
