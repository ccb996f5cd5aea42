"""Images from users' files, made what a model takes: [n, height, width, channels] uint8."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.exits import BadDataError
from pipeline.sources import images as encoded

ImageShape = tuple[int, int, int]  # height, width, channels


def read(paths: Sequence[str], image_shape: ImageShape) -> tuple[list[str], np.ndarray]:
    """The images in PNG and JPEG files and .npy batches, in order, and a name for each.

    A batch is [n, height, width] or [n, height, width, channels], uint8 or floats in [0, 1]; its images are
    named FILE[i]. Grey and colour are converted, an alpha channel is dropped, and any size is cropped around the
    middle and resized, as the model needs and as a folder source does it. Raises BadDataError naming the file that
    cannot be read.
    """
    names: list[str] = []
    images: list[np.ndarray] = []
    for path in paths:
        if path.lower().endswith(".npy"):
            batch = _fitted(_batch(path), image_shape)
            names += [f"{path}[{i}]" for i in range(len(batch))]
        else:
            batch = _picture(path, image_shape)[None]
            names.append(path)
        images.append(batch)
    return names, np.concatenate(images)


def _picture(path: str, image_shape: ImageShape) -> np.ndarray:
    try:
        return encoded.decode(tf.constant(Path(path).read_bytes()), image_shape).numpy()
    except OSError as error:
        raise BadDataError(f"{path}: {error.strerror}; give the path of a PNG, JPEG or .npy file") from None
    except tf.errors.InvalidArgumentError:
        raise BadDataError(f"{path} is not an image that can be decoded; give a PNG, JPEG or .npy file") from None


def _batch(path: str) -> np.ndarray:
    """The images in a .npy file: [n, height, width, 1 or 3] uint8."""
    try:
        with open(path, "rb") as file:
            batch = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise BadDataError(f"{path}: {error.strerror or error}; give the path of a PNG, JPEG or .npy file") from None
    except (ValueError, EOFError) as error:
        raise BadDataError(f"{path} is not a whole .npy file ({error}); write it with numpy.save") from None
    if batch.ndim == 3:
        batch = batch[..., None]
    if batch.ndim != 4 or batch.shape[-1] not in (1, 3) or 0 in batch.shape:
        raise BadDataError(
            f"{path} has shape {list(batch.shape)}; needed is [n, height, width] or [n, height, width, 1 or 3]"
        )
    return _as_uint8(path, batch)


def _as_uint8(path: str, batch: np.ndarray) -> np.ndarray:
    if batch.dtype == np.uint8:
        return batch
    if not np.issubdtype(batch.dtype, np.floating):
        raise BadDataError(f"{path} is {batch.dtype.name}; needed are uint8, or floats in [0, 1]")
    if not (batch.min() >= 0 and batch.max() <= 1):
        raise BadDataError(
            f"{path} has floats from {batch.min():.4g} to {batch.max():.4g}; needed are uint8, or floats in [0, 1]"
        )
    return np.round(batch.astype(np.float64) * 255).astype(np.uint8)


def _fitted(batch: np.ndarray, image_shape: ImageShape) -> np.ndarray:
    """[n, any, any, 1 or 3] uint8 -> [n, *image_shape] uint8."""
    height, width, channels = image_shape
    images = tf.constant(batch)
    if images.shape[-1] != channels:
        images = tf.image.rgb_to_grayscale(images) if channels == 1 else tf.image.grayscale_to_rgb(images)
    return encoded.fit(images, height, width).numpy()
