"""Files in stores, read at random through a cache of blocks on this machine, and again where a store fails for a while.

It is imported only where an address asks for it.
"""

import functools
import hashlib
import io
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline.errors import BadDataError, StorageError
from pipeline.storage.block_cache import BLOCK, BlockCache
from pipeline.storage.object_files import ObjectFiles
from pipeline.storage.stores import ChangedError, NotThereError, RefusedError, Stored, StoreError

START_S = 60.0  # for a store that fails before training starts
LONGEST_PAUSE_S = 4.0
WINDOW = 4 << 20  # bytes that are read at once where a file is read in order
THREADS = 32
_STRIPES = 1024  # locks, of which each block has one, so that it is read once by a process

_T = TypeVar("_T")
Piece = tuple[Stored, int, int]  # a file, and the first byte and the one behind the last


class RemoteFiles:
    """The files of one protocol, for several threads.

    A store that fails is asked again for a while; after that every method raises StorageError at once, so that no
    reader waits a second time. What is gone or another than before raises BadDataError.
    """

    def __init__(self, files: ObjectFiles, cache: BlockCache, patience_s: float):
        """patience_s: seconds for which a store may fail, once training runs."""
        self._files, self._cache, self._patience_s = files, cache, patience_s
        self._locks = [threading.Lock() for _ in range(_STRIPES)]
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._given_up = ""  # why

    def find(self, pattern: str) -> list[Stored]:
        """The files that a glob matches, sorted. Raises NotThereError where nothing is there, and StorageError."""
        return self._patiently(lambda: self._files.find(pattern), pattern, START_S)

    def read(self, pieces: Sequence[Piece]) -> list[bytes]:
        """The bytes of each piece, read beside each other. Raises StorageError and BadDataError."""

        def read(piece: Piece) -> bytes:
            file, start, end = piece
            return self._read(file, start, end, self._patience_s)

        return [read(pieces[0])] if len(pieces) == 1 else list(self._threads.map(read, pieces))

    def opened(self, file: Stored) -> io.BufferedReader:
        """A file to be read in order, before training starts. Its methods raise what `read` raises."""
        return io.BufferedReader(_Ordered(file, lambda start, end: self._read(file, start, end, START_S)), WINDOW)

    def _read(self, file: Stored, start: int, end: int, patience_s: float) -> bytes:
        """The bytes of a file: just these without a cache, else block by block.

        Blocks beside each other that are not in the cache come together.
        """
        if not self._cache.is_on:
            return self._fetch(file, start, end, patience_s)
        inside = {  # of each block, the bytes that are asked for
            n: (max(start - n * BLOCK, 0), min(end - n * BLOCK, BLOCK)) for n in range(start // BLOCK, -(-end // BLOCK))
        }
        cached = ((n, self._cache.read(_name(file, n), _size(file, n), *span)) for n, span in inside.items())
        parts = {n: part for n, part in cached if part is not None}
        for first, last in _runs([n for n in inside if n not in parts]):
            for n, block in enumerate(self._blocks(file, first, last, patience_s), start=first):
                parts[n] = block[slice(*inside[n])]
        return b"".join(parts[n] for n in inside)

    def _blocks(self, file: Stored, first: int, last: int, patience_s: float) -> list[bytes]:
        """The blocks of these numbers, from the store; a single one that another thread has just read, from there."""
        with self._locks[hash((file, first)) % _STRIPES]:
            if first == last:
                size = _size(file, first)
                if (kept := self._cache.read(_name(file, first), size, 0, size)) is not None:
                    return [kept]
            content = self._fetch(file, first * BLOCK, min((last + 1) * BLOCK, file.size), patience_s)
            blocks = [content[place : place + BLOCK] for place in range(0, len(content), BLOCK)]
            for n, block in enumerate(blocks, start=first):
                self._cache.write(_name(file, n), block)
            return blocks

    def _fetch(self, file: Stored, start: int, end: int, patience_s: float) -> bytes:
        try:
            return self._patiently(lambda: self._files.read(file, start, end), file.path, patience_s)
        except (ChangedError, NotThereError):
            raise BadDataError(f"{file.path} changed since the start; start the same command again") from None

    def _patiently(self, attempt: Callable[[], _T], address: str, patience_s: float) -> _T:
        """What `attempt` returns once it succeeds. Raises StorageError for a store that refuses, or fails too long."""
        give_up = time.monotonic() + patience_s
        for number in itertools.count():
            if self._given_up:
                raise StorageError(self._given_up)
            try:
                return attempt()
            except (ChangedError, NotThereError):
                raise
            except StoreError as error:
                if isinstance(error, RefusedError) or time.monotonic() > give_up:
                    what = "is refused" if isinstance(error, RefusedError) else f"cannot be read for {patience_s:g} s"
                    self._given_up = (
                        f"{address} {what} ({error}); mend the address, the access or the network, then start the same "
                        "command again"
                    )
                    raise StorageError(self._given_up) from None
            time.sleep(min(0.1 * 2.0**number, LONGEST_PAUSE_S, max(give_up - time.monotonic(), 0.0)))
        raise AssertionError  # never reached


class _Ordered(io.RawIOBase):
    """A file of a store, as Python's readers want it."""

    def __init__(self, file: Stored, read: Callable[[int, int], bytes]):
        super().__init__()
        self._file, self._read_range, self._place = file, read, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._file.size}[whence]
        return self._place

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]
        end = min(self._place + len(buffer), self._file.size)
        if end <= self._place:
            return 0
        content = self._read_range(self._place, end)
        buffer[: len(content)] = content
        self._place = end
        return len(content)


def _name(file: Stored, number: int) -> str:
    """The name of a block in the cache, which no other block has."""
    return f"{_digest(file)}-{number}"


@functools.lru_cache(maxsize=1 << 14)
def _digest(file: Stored) -> str:
    return hashlib.sha256(f"{file.path}\0{file.size}\0{file.version}".encode()).hexdigest()[:24]


def _size(file: Stored, number: int) -> int:
    return min(BLOCK, file.size - number * BLOCK)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Numbers in rising order as runs without a gap: [1, 2, 4] -> [(1, 2), (4, 4)]."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
