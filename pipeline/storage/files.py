"""Writing to a disk that may be full, or lose power: whole or not at all, and errors that a user can act on."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import StorageError


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raises StorageError for whatever the file system refuses about `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read or written: {error.strerror}; "
            "free some space or allow access, then start the same command again"
        ) from error


def sync(path: Path) -> None:
    """Returns when what was written to the file would survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path to write to; what lies there takes the place of `path`, whole, or not at all.

    Two processes may replace files beside each other if their suffixes differ: a report on a run that is alive does.
    """
    unfinished = path.with_name(f"unfinished{path.suffix}")  # no name that TensorBoard would read as an event file
    try:
        yield unfinished
        sync(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
