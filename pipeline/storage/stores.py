"""A store of files behind one small interface: a directory, or a prefix of a bucket (object_store.py)."""

import abc
import contextlib
import importlib.util
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from pipeline.errors import UsageError
from pipeline.storage.reading import open_regular
from pipeline.text import extras

EXTRAS = {"s3": "s3fs", "gs": "gcsfs"}  # protocol, which is also the extra of setup.cfg -> the package that speaks it
BLOCK = 8 << 20  # bytes that are read at once
_PART = ".part-"  # what the name of a file begins with that is still being written


class StoreError(Exception):
    """A store cannot be reached. Its message is the reason, in one line."""


class NotThereError(StoreError):
    """The store answers that it holds no such file, or that there is no such bucket."""


class RefusedError(StoreError):
    """The store refuses: no credentials, expired ones, or not the right to do this. To ask again does not help."""


class ChangedError(StoreError):
    """The file is another one than was found there before."""


class Stored(NamedTuple):
    """A file, as it was when it was found."""

    path: str  # or its address
    size: int  # bytes
    version: int  # its time of change in ns; of an object, 62 bits of a hash of its ETag, or of what stands for it


class Store(abc.ABC):
    """Files by name; a name is a relative path with slashes. A file appears whole, or not at all.

    Every method raises StoreError; `read` and `download` raise NotThereError where there is no such file.
    """

    def __init__(self, address: str):
        self.address = address  # as the user gave it

    @abc.abstractmethod
    def sizes(self, below: str = "") -> dict[str, int]:
        """The bytes of every file whose name begins with `below`, which is empty or ends with a slash."""

    @abc.abstractmethod
    def read(self, name: str, start: int, end: int) -> bytes:
        """The bytes of a file from `start` up to `end` or its own end; start < the file's size."""

    @abc.abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Writes a small file."""

    @abc.abstractmethod
    def upload(self, file: IO[bytes], name: str) -> None:
        """Writes a file with the content of an open one of this machine, which may be deleted meanwhile."""

    @abc.abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Removes files; those that are not there count as removed."""

    def download(self, name: str, size: int, path: Path, check: Callable[[], None] = lambda: None) -> None:
        """Writes the first `size` bytes of a file to a path here. check: called before every block.

        Raises OSError, too, for this machine's disk.
        """
        with path.open("wb") as out:
            for start in range(0, size, BLOCK):
                check()
                out.write(self.read(name, start, min(start + BLOCK, size)))


class Directory(Store):
    """A store in a directory, which may lie on another disk or a network file system."""

    def __init__(self, address: str):
        super().__init__(address)
        self._root = Path(address)

    def sizes(self, below: str = "") -> dict[str, int]:
        found = {}
        with _store_errors():
            for parent, _, names in os.walk(self._root / below, onerror=_raise_unless_missing):
                for path in (Path(parent) / name for name in names if not name.startswith(_PART)):
                    with contextlib.suppress(FileNotFoundError):
                        status = path.lstat()
                        if stat.S_ISREG(status.st_mode):
                            found[path.relative_to(self._root).as_posix()] = status.st_size
        return found

    def read(self, name: str, start: int, end: int) -> bytes:
        with _store_errors(), open_regular(self._root / name) as file:
            file.seek(start)
            return file.read(end - start)

    def write(self, name: str, content: bytes) -> None:
        with self._replacing(name) as out:
            out.write(content)

    def upload(self, file: IO[bytes], name: str) -> None:
        with self._replacing(name) as out:
            file.seek(0)
            shutil.copyfileobj(file, out, BLOCK)

    def remove(self, names: Iterable[str]) -> None:
        with _store_errors():
            for name in names:
                (self._root / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _replacing(self, name: str) -> Iterator[IO[bytes]]:
        path = self._root / name
        part = path.with_name(f"{_PART}{path.name}")
        with _store_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as out:
                    yield out
                    out.flush()
                    os.fsync(out.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise


def check(address: str, flag: str) -> None:
    """Raises UsageError for an address that names no store, or whose extra is not installed. Touches no network."""
    protocol, separator, _ = address.partition("://")
    if separator and protocol not in EXTRAS:
        known = ", ".join(f"{name}://BUCKET/PREFIX" for name in EXTRAS)
        raise UsageError(f"{flag}={address} is no address of a store; use {known} or the path of a directory")
    if separator:
        _check_bucket(address, f"{flag}={address}")


def check_readable(address: str, named: str) -> None:
    """Raises UsageError for an address of files that cannot be read here: of a bucket, or any that fsspec knows.

    named: the address as the user gave it. Touches no network.
    """
    protocol = address.partition("://")[0]
    if protocol in EXTRAS:
        _check_bucket(address, named)
        return
    if importlib.util.find_spec("fsspec") is None:
        raise UsageError(f"{named} needs fsspec, which is not installed; install it: pip install fsspec")
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(protocol)
    except ValueError:
        raise UsageError(f"{named} has an unknown protocol; use s3://, gs:// or another one of fsspec") from None
    except ImportError as error:
        raise UsageError(f"{named} needs a package that is not installed ({error}); install it") from None


def _check_bucket(address: str, named: str) -> None:
    protocol, _, rest = address.partition("://")
    if not re.fullmatch(r"[\w.-]+", rest.partition("/")[0]):
        raise UsageError(f"{named} names no bucket; write it as {protocol}://BUCKET/PREFIX")
    if any(part in ("", ".", "..") for part in rest.rstrip("/").split("/")):
        raise UsageError(f"{named} has an empty part, . or .. in its path; write it without")
    extras.check(named, EXTRAS[protocol], protocol)


def opened(address: str) -> Store:
    """The store at an address that `check` accepts."""
    if "://" not in address:
        return Directory(address)
    from pipeline.storage.object_store import ObjectStore  # fsspec comes with it, and only here

    return ObjectStore(address)


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Raises StoreError for errors of the file system."""
    try:
        yield
    except OSError as error:
        kind = {FileNotFoundError: NotThereError, PermissionError: RefusedError}.get(type(error), StoreError)
        raise kind(error.strerror or str(error)) from error


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
