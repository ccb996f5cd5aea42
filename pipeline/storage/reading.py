"""Reading what lies on a disk without trust: regular files alone, of a bounded size, and JSON of any depth."""

import contextlib
import json
import mmap
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # an escape of half of a character, whose other half may follow
MOST_SMALL_BYTES = 1 << 26  # of a file that is read at once


def open_regular(path: Path) -> IO[bytes]:
    """The file, opened to be read. Raises OSError also for a pipe, a device or a directory, which may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_small(path: Path, most: int = MOST_SMALL_BYTES) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises OSError."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(None, f"it holds more than {most} bytes", str(path))
    return content


@contextlib.contextmanager
def mapped(file: IO[bytes]) -> Iterator[mmap.mmap | None]:
    """The content of an open file of this machine, as memory that the kernel fills when it is looked at.

    None for an empty file, for one that lies elsewhere, and on file systems without maps.
    """
    try:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        yield None
        return
    with content:
        yield content


@contextlib.contextmanager
def without_patterns(directory: Path) -> Iterator[str]:
    """Another path to a directory, for readers that take a path for a pattern, in which [1] stands for 1.

    TensorFlow's readers of checkpoints and SavedModels do so (2.21). The path holds inside alone. Raises OSError.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def parse_json(text: bytes | str, halves: bool = False) -> Any:
    """The value that JSON stands for. Raises ValueError for anything else: NaN, or brackets nested without end.

    halves: take texts with halves of characters too, which can neither be written nor be shown.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not halves and _HALF.search(text if isinstance(text, bytes) else text.encode()):
        json.dumps(value, ensure_ascii=False).encode()  # an error of this is a ValueError
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no value of JSON")
