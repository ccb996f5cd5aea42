"""Where shards lie: in files of this machine, or in a store, behind one small interface."""

import contextlib
import fcntl
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import fingerprints
from pipeline.sources.listing import printable
from pipeline.storage.files import expand
from pipeline.storage.reading import open_regular
from pipeline.storage.stores import NotThereError, Stored

if TYPE_CHECKING:
    from pipeline.storage.remote_files import RemoteFiles

_BESIDE = ".pipeline-index"  # the directory beside the shards
Numbers = npt.NDArray[np.int64]


class ShardFiles(Protocol):
    """The files of one --source. All methods but `find` raise BadDataError for a file that cannot be read or changed.

    Where they lie in a store, all raise StorageError while it cannot be read.
    """

    def find(self, kind: str, pattern: str) -> tuple[list[str], str]:
        """The paths that the glob of a kind of source matches, sorted; without any, words after "matches no file"."""
        ...

    def stored(self, path: str) -> Stored:
        """The present size and version of a file that was found."""
        ...

    def opened(self, file: Stored) -> IO[bytes]:
        """The file, to be read in order."""
        ...

    def read(
        self, files: Sequence[Stored], which: npt.NDArray[np.int32], offsets: Numbers, lengths: Numbers
    ) -> npt.NDArray[np.object_]:
        """[n] of bytes: those at the offset of each of n pieces, which lie in these of the files."""
        ...

    def places(self, path: str, form: str) -> list[Path]:
        """Where the index of a shard may lie, the best place first."""
        ...

    def alone(self, place: Path) -> contextlib.AbstractContextManager[None]:
        """Holds other processes off that would make the same index, where that is dear."""
        ...


def of(pattern: str, config: Config) -> ShardFiles:
    """The files that a pattern of --source is about."""
    protocol, separator, _ = pattern.partition("://")
    if not separator:
        return LocalFiles(config)
    from pipeline.storage.block_cache import BlockCache  # only here: fsspec comes with them
    from pipeline.storage.object_files import ObjectFiles
    from pipeline.storage.remote_files import RemoteFiles

    cache = BlockCache(_home(config) / "blocks", config.data_cache_mib << 20)
    # The run ends by itself, with its state saved, before a watchdog would end it.
    files = ObjectFiles(protocol, timeout_s=config.stall_timeout / 4)
    return StoreFiles(RemoteFiles(files, cache, patience_s=config.stall_timeout / 2), config)


class LocalFiles:
    """Files on this machine's disks."""

    def __init__(self, config: Config):
        self._config = config

    def find(self, kind: str, pattern: str) -> tuple[list[str], str]:
        path = expand(pattern, f"source={kind}")
        paths = [path] if os.path.isfile(path) else sorted(filter(os.path.isfile, glob.glob(path)))
        return paths, f"; give its files, as {kind}:{pattern}/*" if os.path.isdir(path) else "; correct it"

    def stored(self, path: str) -> Stored:
        with _readable(path):
            status = os.stat(path)
        return Stored(path, status.st_size, status.st_mtime_ns)

    def opened(self, file: Stored) -> IO[bytes]:
        with _readable(file.path):
            return open_regular(Path(file.path))

    def read(
        self, files: Sequence[Stored], which: npt.NDArray[np.int32], offsets: Numbers, lengths: Numbers
    ) -> npt.NDArray[np.object_]:
        found = np.empty(len(which), dtype=object)
        for number in np.unique(which):
            descriptor = _descriptor(files[number])
            try:
                for place in np.flatnonzero(which == number):
                    found[place] = os.pread(descriptor, int(lengths[place]), int(offsets[place]))
            finally:
                os.close(descriptor)
        return found

    def places(self, path: str, form: str) -> list[Path]:
        whole = os.path.abspath(path)
        name = f"{fingerprints.digest(os.path.basename(whole), form)}.npz"
        places = [Path(os.path.dirname(whole)) / _BESIDE / name]
        with contextlib.suppress(UsageError):  # no home is known
            places.append(_kept(whole, form, self._config))
        return places

    def alone(self, place: Path) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class StoreFiles:
    """Files in a store, such as a bucket."""

    def __init__(self, files: "RemoteFiles", config: Config):
        self._files, self._config = files, config
        self._found: dict[str, Stored] = {}

    def find(self, kind: str, pattern: str) -> tuple[list[str], str]:
        try:
            self._found = {file.path: file for file in self._files.find(pattern)}
        except NotThereError as error:
            return [], f" ({error}); correct it"
        return list(self._found), "; correct it"

    def stored(self, path: str) -> Stored:
        return self._found[path]

    def opened(self, file: Stored) -> IO[bytes]:
        return self._files.opened(file)

    def read(
        self, files: Sequence[Stored], which: npt.NDArray[np.int32], offsets: Numbers, lengths: Numbers
    ) -> npt.NDArray[np.object_]:
        starts, ends = offsets.tolist(), (offsets + lengths).tolist()
        pieces = [(files[number], *span) for number, *span in zip(which.tolist(), starts, ends, strict=True)]
        found = np.empty(len(which), dtype=object)
        found[:] = self._files.read(pieces)
        return found

    def places(self, path: str, form: str) -> list[Path]:
        return [_kept(path, form, self._config)]

    @contextlib.contextmanager
    def alone(self, place: Path) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # then each process makes its own
                place.parent.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(place.with_suffix(".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _home(config: Config) -> Path:
    return Path(expand(config.data_dir or "~/.cache/pipeline", "data_dir"))


def _kept(whole: str, form: str, config: Config) -> Path:
    """The place of an index that does not lie beside its shard."""
    return _home(config) / "index" / f"{fingerprints.digest(whole, form)}.npz"


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadDataError(f"{printable(path)} cannot be read ({error.strerror}); make it readable") from None


def _descriptor(file: Stored) -> int:
    """A descriptor of a file of this machine. Raises BadDataError if it is another one than before."""
    with _readable(file.path):
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if (status.st_size, status.st_mtime_ns) != (file.size, file.version):
        os.close(descriptor)
        raise BadDataError(f"{printable(file.path)} changed since the start; start the same command again")
    return descriptor
