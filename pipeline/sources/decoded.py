"""Pictures that stay in memory once they are decoded, so that later epochs and evaluations need no file."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.sources import images
from pipeline.sources.base import SamePictures, Source


class DecodedCache:
    """The memory that the decoded pictures of a run's splits share."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def of(self, source: Source) -> Source:
        """The source, whose pictures are kept from now on; itself where they do not fit, or are no encoded files."""
        size = len(source) * math.prod(source.image_shape)
        if not source.encoded or size > self._left:
            return source
        self._left -= size
        return _Kept(source)


class _Kept(SamePictures):
    """Another source, whose whole pictures are decoded once each; windows of pictures are decoded every time.

    A batch of which one picture is not there yet is decoded. Several threads may do so at a time: all write the same.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.encoded = False
        self._images = np.empty([len(source), *source.image_shape], np.uint8)  # no memory before it is written
        self._is_there = np.zeros(len(source), bool)

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The indices are the records: where they are not decoded, nothing is read."""
        _, labels = self._source.fetch(indices)
        return tf.convert_to_tensor(indices), labels

    def decode(self, raw: tf.Tensor, window: images.Window | None = None) -> tf.Tensor:
        if window is not None:
            return self._decoded(raw, window)
        # Not stateful: the images are the same, kept or not. Under op determinism, tf.data would run one at a time.
        kept = tf.numpy_function(self._look, [raw], tf.uint8, stateful=False)
        found = tf.cond(tf.shape(kept)[0] == tf.shape(raw)[0], lambda: kept, lambda: self._decoded_and_kept(raw))
        return tf.ensure_shape(found, [*raw.shape, *self.image_shape])

    def _decoded(self, indices: tf.Tensor, window: images.Window | None = None) -> tf.Tensor:
        records, _ = self._source.fetch(indices)
        return self._source.decode(records, window)

    def _decoded_and_kept(self, indices: tf.Tensor) -> tf.Tensor:
        return tf.numpy_function(self._keep, [indices, self._decoded(indices)], tf.uint8, stateful=False)

    def _look(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """The images of all these examples; none where one is not there."""
        return self._images[indices if self._is_there[indices].all() else indices[:0]]

    def _keep(self, indices: npt.NDArray[np.int64], decoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Keeps images, and gives them back."""
        self._images[indices] = decoded
        self._is_there[indices] = True  # after the images: another thread may look
        return decoded
