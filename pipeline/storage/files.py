"""Paths as users write them, and writing to a disk that may be full or lose power: whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import StorageError, UsageError


def expand(path: str, flag: str) -> str:
    """The path with a leading ~ or ~USER replaced by that home directory.

    flag: what the path was given as, to be named. Raises UsageError where no such home is known: a directory that is
    called ~ would be made otherwise. A path that lies there under just this name is left as it is.
    Raises it, too, for a path that is not UTF-8: it could neither be recorded nor shown.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise UsageError(f"{flag}={shown} is not UTF-8 text; rename it, or lead there by a link") from None
    expanded = os.path.expanduser(path)
    if expanded.startswith("~") and not os.path.lexists(expanded.split("/")[0]):
        user = expanded.split("/")[0]
        raise UsageError(f"{flag}={path}: no home directory is known for {user}; give the path without {user}")
    return expanded


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raises StorageError if the file system refuses anything about `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read or written: {error.strerror}; "
            "free some space or allow access, then start the same command again"
        ) from error


def sync(path: Path) -> None:
    """Returns once the file's content would survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path to write to; the file there then takes the place of `path`, whole, or not at all.

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
