"""Directories of small pictures, as folder:DIR reads them."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image


def picture(value: int | tuple[int, ...], shape: tuple[int, ...] = (6, 5, 1)) -> np.ndarray:
    """An image of one colour."""
    return np.full(shape, value, np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    """A PNG or JPEG file, as the path's suffix says, in directories that are made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = tf.io.encode_png if path.suffix == ".png" else tf.io.encode_jpeg
    path.write_bytes(encode(pixels).numpy())


def fill(directory: Path, count: int = 6, shape: tuple[int, ...] = (6, 5, 1)) -> None:
    """Classes ant and bee, whose images' pixels are all 10, 11, ... and 200, 201, ..."""
    for name, first in (("ant", 10), ("bee", 200)):
        for i in range(count):
            write(directory / name / f"{i}.png", picture(first + i, shape))


def photo(side: int = 96, seed: int = 0) -> Image.Image:
    """Soft coloured noise, as large in a JPEG file as a photo is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (side // 6, side // 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
