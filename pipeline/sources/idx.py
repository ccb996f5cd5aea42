"""idx:DIR: the four files that MNIST is published as, gzip or not, held in memory.

The format: two zero bytes, a type (8: unsigned byte), the number of dimensions, each dimension as a big-endian 32-bit
integer, then the data (LeCun, Cortes & Burges, "The MNIST database").
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources.base import Source
from pipeline.sources.listing import require_directory
from pipeline.sources.memory import InMemory
from pipeline.storage.files import expand

CLASS_NAMES = tuple("0123456789")
_UNSIGNED_BYTE = 8
_GZIP = b"\x1f\x8b"  # what every gzip file begins with


def own_splits(argument: str, config: Config) -> dict[str, Source]:
    """Train from the train files of the directory `argument`, test from its t10k files."""
    directory = Path(expand(argument, "source=idx"))
    require_directory(str(directory), "give the one with the idx files, as idx:DIR")
    return {"train": _open(directory, "train"), "test": _open(directory, "t10k")}


def _open(directory: Path, prefix: str) -> InMemory:
    images_path, labels_path = _find(directory, f"{prefix}-images", 3), _find(directory, f"{prefix}-labels", 1)
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise BadDataError(
            f"{images_path} holds {len(images)} images and {labels_path.name} {len(labels)} labels; "
            "use two files that belong together"
        )
    if labels.max() >= len(CLASS_NAMES):
        position = int(np.argmax(labels >= len(CLASS_NAMES)))
        raise BadDataError(f"{labels_path}: label {position} is {labels[position]}; labels are 0 to 9, use such a file")
    return InMemory(images[..., None], labels, CLASS_NAMES, str(images_path))


def _find(directory: Path, stem: str, dimensions: int) -> Path:
    """The file under any of the names that it is found under in the wild."""
    names = [f"{stem}{mark}idx{dimensions}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise BadDataError(f"{directory} has no {' or '.join(names)}; put one there")


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of unsigned bytes that an idx file holds: it has `dimensions` dimensions and is not empty.

    Raises BadDataError naming the file, what it holds and what it should.
    """
    content = _read(path)
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        raise BadDataError(
            f"{path} begins with {content[:4].hex(' ') or 'nothing'}, not {magic.hex(' ')}: it is not an idx file of "
            f"{dimensions}-dimensional bytes; get the original again"
        )
    if len(content) < header:
        raise BadDataError(f"{path} ends after {len(content)} bytes, within its header; get the original again")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if math.prod(shape) == 0:
        raise BadDataError(f"{path} says that it holds {_times(shape)} bytes; at least 1 example is needed")
    if len(content) != header + math.prod(shape):
        raise BadDataError(
            f"{path} holds {len(content) - header} bytes after its header, which says {_times(shape)} = "
            f"{math.prod(shape)}; get the original again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read(path: Path) -> bytes:
    """The content of the file, unpacked if it is a gzip file, whatever its name."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadDataError(f"{path} is not a whole gzip file ({error}); get the original again") from None
    except OSError as error:
        raise BadDataError(f"{path} cannot be read ({error.strerror}); make it readable") from None


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
