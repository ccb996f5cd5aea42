"""Where the workers of a job are, when nobody named them: each has a file with its address in the run directory.

So the tasks of a Slurm array find each other, on whatever nodes they are started.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.engine.topology import Workers
from pipeline.errors import UsageError
from pipeline.storage.files import replacing, storage_errors
from pipeline.storage.reading import read_small
from pipeline.text.addresses import host_and_port

LONGEST_BYTES = 400  # of a file


@contextlib.contextmanager
def entered(directory: Path, candidates: Workers) -> Iterator[None]:
    """Inside, the book has this worker's address, if addresses are learned. Raises StorageError."""
    if not candidates.learned:
        yield
        return
    path, own = _file(directory, candidates.index), candidates.addresses[candidates.index]
    made = [above for above in (directory, directory.parent) if not above.exists()]
    with storage_errors(path):
        directory.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            new.write_text(own)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _read(path) == own:  # this worker was not started elsewhere meanwhile
                path.unlink()
            for above in made:  # where no run came about
                above.rmdir()


def known(directory: Path, before: Sequence[str]) -> tuple[str, ...]:
    """The addresses of all candidates as the book has them now, else as they were known before."""
    with contextlib.suppress(OSError):
        there = set(os.listdir(directory))  # which asks the server of a shared file system anew
        files = [_file(directory, k) for k in range(len(before))]
        return tuple((_read(f) if f.name in there else "") or a for f, a in zip(files, before, strict=True))
    return tuple(before)


def _file(directory: Path, index: int) -> Path:
    """The file of a worker; the suffixes differ, for `replacing`."""
    return directory / f"address.{index}"


def _read(path: Path) -> str:
    """The address in a file of the book; '' if it holds none."""
    with contextlib.suppress(OSError, UnicodeDecodeError, UsageError):
        address = read_small(path, LONGEST_BYTES).decode()
        host_and_port(address)
        return address
    return ""
