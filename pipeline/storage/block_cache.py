"""A cache of blocks in a directory: bounded, shared by processes without a lock, whole or not at all.

Blocks lie in sets, by a hash of their names. A set keeps its newest WAYS blocks: so the bound holds without a list of
all that is there. A block is moved into place whole, with a checksum behind it.
"""

import contextlib
import os
import shutil
import threading
import zlib
from pathlib import Path

from absl import logging

BLOCK = 1 << 18  # bytes of a block; the last one of a file may have fewer
WAYS = 32  # blocks of a set
_ROOM = BLOCK + 4096  # bytes that a block's file takes on a disk, at most
_CHECKSUM = 4  # bytes behind a block
_MOST_KNOWN = 1 << 18  # names of blocks whose checksums are known to be right


class BlockCache:
    """Blocks by name. For several threads and processes, whose bounds should be equal."""

    def __init__(self, directory: Path, most_bytes: int):
        """The cache in a directory of its own, where blocks that were kept under another bound are removed.

        most_bytes: less than a block's turn the cache off; then its methods are not to be called.
        """
        places = most_bytes // _ROOM
        self._sets, self._ways = max(1, places // WAYS), min(WAYS, places)
        self._directory = directory / f"{self._sets}x{self._ways}"
        self.is_on = places > 0
        self._known: set[str] = set()
        self._told = threading.Lock()
        with contextlib.suppress(OSError):
            for other in directory.iterdir():
                if self.is_on and other != self._directory:
                    shutil.rmtree(other, ignore_errors=True)

    def read(self, name: str, size: int, start: int, end: int) -> bytes | None:
        """The bytes from `start` to `end` of a block of `size` bytes; None if it is not there, or damaged."""
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if name not in self._known and not self._is_whole(descriptor, size):
                return None
            self._know(name)
            os.utime(descriptor)  # the blocks that were used last stay
            content = os.pread(descriptor, end - start, start)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return content if len(content) == end - start else None

    def write(self, name: str, content: bytes) -> None:
        """Keeps a block, if the disk lets it. The oldest ones of its set give way."""
        path = self._path(name)
        part = path.with_name(f".part-{os.getpid()}-{threading.get_ident()}-{name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(content)
                file.write(zlib.crc32(content).to_bytes(_CHECKSUM, "big"))
            part.replace(path)
            self._evict(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            if self._told.acquire(blocking=False):  # once
                logging.warning("%s cannot be written (%s); what lies in stores is read again each time",
                                self._directory, error.strerror)  # fmt: skip

    def _evict(self, place: Path) -> None:
        """Removes the oldest files of a set, also those that a killed process has not finished."""
        with os.scandir(place) as entries:
            found = list(entries)
        if len(found) <= self._ways:
            return
        times = []
        for entry in found:
            with contextlib.suppress(FileNotFoundError):
                times.append((entry.stat().st_mtime_ns, entry.path))
        for _, path in sorted(times)[: -self._ways]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _is_whole(self, descriptor: int, size: int) -> bool:
        content = os.pread(descriptor, size + _CHECKSUM + 1, 0)
        said = zlib.crc32(content[:size]).to_bytes(_CHECKSUM, "big")
        return len(content) == size + _CHECKSUM and content[size:] == said

    def _know(self, name: str) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(name)

    def _path(self, name: str) -> Path:
        return self._directory / f"{zlib.crc32(name.encode()) % self._sets:04x}" / name
