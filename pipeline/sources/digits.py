"""digits[:NUMBER]: handwritten digits drawn by `digit_drawing`; no download, and the same bits everywhere."""

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np
from absl import logging

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.sources import digit_drawing
from pipeline.sources.base import Source
from pipeline.sources.memory import InMemory
from pipeline.storage.files import expand

CLASS_NAMES = tuple("0123456789")
TEST_START = 10**12  # the test examples' first index: the same ones for every number of training examples
_CHUNK = 500  # examples drawn at once; larger ones leave the processor's caches


def own_splits(argument: str, config: Config) -> dict[str, Source]:
    """`argument` examples to train on and validate with, and a sixth as many to test on."""
    indices = {
        "train": np.arange(int(argument)),
        "test": TEST_START + np.arange(max(1, int(argument) // 6)),
    }
    cache = _cache_path(config, argument)
    images = _cached(cache, indices) if cache else _drawn(indices)
    return {name: _in_memory(images[name], indices[name], name) for name in indices}


def _in_memory(images: np.ndarray, indices: np.ndarray, name: str) -> InMemory:
    return InMemory(images, digit_drawing.labels(indices), CLASS_NAMES, f"digits {name}")


def draw_all(indices: np.ndarray) -> np.ndarray:
    """`digit_drawing.draw` of any number of examples: [n, height, width, 1] uint8."""
    return np.concatenate([digit_drawing.draw(indices[i : i + _CHUNK]) for i in range(0, len(indices), _CHUNK)])


def _cache_path(config: Config, argument: str) -> Path | None:
    """Where the digits are kept; None where that is in a home directory, and none is known."""
    if config.data_dir:
        directory = expand(config.data_dir, "data_dir")
    else:
        try:
            directory = expand("~/.cache/pipeline", "data_dir")
        except UsageError:
            logging.warning("no home directory is known: the digits are not cached, but drawn at every start")
            return None
    # A hash of some digits is in the name, so that no version of the drawing reads the cache of another.
    sample = hashlib.sha256(digit_drawing.draw(np.arange(50)).tobytes()).hexdigest()
    return Path(directory) / f"digits-{argument}-{sample[:12]}.npz"


def _cached(path: Path, indices: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The images in the file `path`; if they are not there, whole, they are drawn and written there."""
    if os.path.exists(path):  # unlike path.exists(), False for one that may not be looked at
        try:
            with np.load(path) as file:  # a zip archive, which checks a CRC of all that is read
                return {name: file[name] for name in indices}
        except Exception as error:  # a cache may be damaged in any way; drawing again repairs it
            logging.warning("%s is damaged (%s); drawing the digits again", path, error)
    images = _drawn(indices)
    _write(path, images)
    return images


def _drawn(indices: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: draw_all(indices[name]) for name in indices}


def _write(path: Path, images: dict[str, np.ndarray]) -> None:
    """Puts a whole file in place, or none: other processes may be reading and writing the same one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.savez(file, train=images["train"], test=images["test"])
        temporary.replace(path)
    except OSError as error:
        logging.warning("the digits are not cached (%s); they are drawn again at every start", error)
        with contextlib.suppress(OSError):
            temporary.unlink()
