"""Training examples in a file, for contenders that cannot read the source: no TensorFlow is needed."""

from pathlib import Path

import numpy as np


def write(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes images [n, height, width, channels] uint8 and labels [n] int32."""
    np.savez(path, images=images, labels=labels)


def read(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels that `write` wrote."""
    with np.load(path) as arrays:
        return arrays["images"], arrays["labels"]
