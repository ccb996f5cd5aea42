"""Users' images, in files or in arrays, in the form that a model takes: [n, height, width, channels] uint8."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.errors import BadDataError
from pipeline.sources import decoding
from pipeline.sources import images as encoded
from pipeline.sources.images import ImageShape, Window
from pipeline.sources.listing import printable

_PICTURE = -1  # in place of a row: to be decoded from its file


class _Image(NamedTuple):
    name: str  # in messages and results
    path: str
    row: int  # in the array of all images from .npy files, or _PICTURE


class Images:
    """The images in PNG and JPEG files, .npy batches and arrays, in order; pictures are decoded when asked for.

    A batch is [n, height, width] or [n, height, width, channels], uint8 or floats in [0, 1]; its images are
    named FILE[i], those of an array array[i]. Grey and colour are converted, transparent parts show white, and any size
    is cropped around the middle and resized, as the model needs and as an evaluation with that --eval_crop does it.
    """

    def __init__(
        self, given: Sequence[str | npt.NDArray[Any]], image_shape: ImageShape, eval_crop: float = 1.0
    ) -> None:
        self._shape, self._window = image_shape, encoded.middle(eval_crop, image_shape)
        self._images: list[_Image] = []
        self._refused: dict[int, BadDataError] = {}  # of what is not to be opened; a .npy file counts as one image
        batches: list[npt.NDArray[np.uint8]] = []
        rows = 0
        for one in given:
            path, name = (one, printable(one)) if isinstance(one, str) else ("", "array")
            try:
                if isinstance(one, str):
                    _require_regular(path)
                    if not path.lower().endswith(".npy"):
                        self._images.append(_Image(name, path, _PICTURE))
                        continue
                batch = _batch(path) if isinstance(one, str) else _checked(name, one)
                batches.append(_fitted(batch, image_shape, self._window))
            except BadDataError as error:
                self._refused[len(self._images)] = error
                self._images.append(_Image(name, "", _PICTURE))
                continue
            self._images += [_Image(f"{name}[{i}]", path, rows + i) for i in range(len(batches[-1]))]
            rows += len(batches[-1])
        # A row that is never taken lets `dataset` make its graph where there are no .npy files.
        self._rows = np.concatenate([*batches, np.zeros([1, *image_shape], np.uint8)])

    def __len__(self) -> int:
        return len(self._images)

    @property
    def names(self) -> list[str]:
        """Their names in messages and results."""
        return [image.name for image in self._images]

    def dataset(self, indices: npt.NDArray[np.int64]) -> tf.data.Dataset:
        """Those of these images that can be read, in this order: its index [] int64, and it [*image_shape] uint8."""
        chosen = [self._images[index] for index in indices]
        paths = tf.constant([os.fsencode(image.path) for image in chosen], tf.string)
        rows = tf.constant([image.row for image in chosen], tf.int64)
        table = tf.constant(self._rows)

        def decode(path: tf.Tensor) -> tf.Tensor:
            return encoded.decode(tf.io.read_file(path), self._shape, self._window)

        def read(index: tf.Tensor, path: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return index, tf.cond(row == _PICTURE, lambda: decode(path), lambda: table[row])

        entries = tf.data.Dataset.from_tensor_slices((tf.constant(indices, tf.int64), paths, rows))
        return entries.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).ignore_errors()

    def refusal(self, index: int) -> BadDataError:
        """Why an image cannot be read: the error, which names its file."""
        if index in self._refused:
            return self._refused[index]
        try:
            _picture(self._images[index].path, self._shape, self._window)
        except BadDataError as error:
            return error
        return BadDataError(f"{self._images[index].name} changed while it was read; start the same command again")

    def remarks(self, lines: Sequence[str], refused: bool) -> list[str]:
        """The lines that reading these images wrote to stderr, as a user needs them: libjpeg's own name no file.

        refused: whether an image could not be read: then lines that are not known are about it, and left out.
        """
        others = [] if refused else [line for line in lines if not decoding.complains(line)]
        if not any(map(decoding.complains, lines)):
            return others
        pictures = [(index, image.path) for index, image in enumerate(self._images) if image.row == _PICTURE]
        found = decoding.damage([path for index, path in pictures if index not in self._refused])
        return others + [
            f"WARNING: {printable(path)} may be damaged inside ({line}); look at it"
            for path, line in {**found.made_up, **found.skipped}.items()
        ]

    def original(self, index: int) -> npt.NDArray[np.uint8]:
        """An image that can be read, at its own size, to be shown: [height, width, 1 or 3] uint8."""
        image = self._images[index]
        if image.row != _PICTURE:
            return self._rows[image.row]
        return encoded.pixels(tf.constant(Path(image.path).read_bytes()), channels=3).numpy()


def _require_regular(path: str) -> None:
    """Raises BadDataError for a pipe or a device, which might never end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # whoever opens it says why it cannot be read
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise BadDataError(f"{printable(path)} is not a regular file; give the path of a PNG, JPEG or .npy file")


def _picture(path: str, image_shape: ImageShape, window: Window | None) -> npt.NDArray[np.uint8]:
    try:
        return encoded.decode(tf.constant(Path(path).read_bytes()), image_shape, window).numpy()
    except OSError as error:
        raise BadDataError(f"{printable(path)}: {error.strerror}; give the path of a PNG, JPEG or .npy file") from None
    except tf.errors.InvalidArgumentError:
        raise BadDataError(
            f"{printable(path)} is not an image that can be decoded; give a PNG, JPEG or .npy file"
        ) from None


def _batch(path: str) -> npt.NDArray[np.uint8]:
    """The images in a .npy file: [n, height, width, 1 or 3] uint8."""
    try:
        with open(path, "rb") as file:
            batch = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise BadDataError(f"{path}: {error.strerror or error}; give the path of a PNG, JPEG or .npy file") from None
    except (ValueError, EOFError) as error:
        raise BadDataError(f"{path} is not a whole .npy file ({error}); write it with numpy.save") from None
    return _checked(path, batch)


def _checked(name: str, batch: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A batch as it is computed with: [n, height, width, 1 or 3] uint8. Raises BadDataError for another array."""
    if batch.ndim == 3:
        batch = batch[..., None]
    if batch.ndim != 4 or batch.shape[-1] not in (1, 3) or 0 in batch.shape:
        raise BadDataError(
            f"{name} has shape {list(batch.shape)}; needed is [n, height, width] or [n, height, width, 1 or 3]"
        )
    return _as_uint8(name, batch)


def _as_uint8(path: str, batch: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Levels from 0 to 255, from floats in [0, 1] too. Raises BadDataError for all others."""
    if batch.dtype == np.uint8:
        return batch
    if not np.issubdtype(batch.dtype, np.floating):
        raise BadDataError(f"{path} is {batch.dtype.name}; needed are uint8, or floats in [0, 1]")
    if not (batch.min() >= 0 and batch.max() <= 1):
        raise BadDataError(
            f"{path} has floats from {batch.min():.4g} to {batch.max():.4g}; needed are uint8, or floats in [0, 1]"
        )
    return np.round(batch.astype(np.float64) * 255).astype(np.uint8)


def _fitted(batch: npt.NDArray[np.uint8], image_shape: ImageShape, window: Window | None) -> npt.NDArray[np.uint8]:
    """[n, any, any, 1 or 3] uint8 -> [n, *image_shape] uint8."""
    height, width, channels = image_shape
    images = tf.constant(batch)
    if images.shape[-1] != channels:
        images = tf.image.rgb_to_grayscale(images) if channels == 1 else tf.image.grayscale_to_rgb(images)
    fitted = encoded.windows(images, window, image_shape) if window else encoded.fit(images, height, width)
    return fitted.numpy()
