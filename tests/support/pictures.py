"""Image files for tests."""

from pathlib import Path

import numpy as np
import tensorflow as tf


def write(path: Path, pixels: np.ndarray) -> str:
    """Encodes pixels [height, width, channels] of uint8 by the path's suffix, .png or .jpg; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = tf.io.encode_png if path.suffix == ".png" else tf.io.encode_jpeg
    path.write_bytes(encode(pixels).numpy())
    return str(path)
