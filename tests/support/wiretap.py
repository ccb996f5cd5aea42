"""What a kill would leave of a directory: a copy of it from before every change that a piece of code makes there."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

_CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


class Wiretap:
    """Copies a directory whenever the interpreter is about to change a file there, and once at the end.

    It listens to Python's own audit events, so the code that is watched needs to know nothing of it. A kill can come
    only between two system calls, and those of a file that is being written are not told apart: the copies hold every
    state in which each file is either there as it was written, or not there yet.
    """

    def __init__(self, directory: Path, copies: Path):
        self._directory, self._copies = directory, copies
        self._busy = False
        self.snapshots: list[Path] = []

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        _taps.append(self)
        try:
            yield
        finally:
            _taps.remove(self)
            self._copy()

    def hear(self, event: str, path) -> None:
        if event in _CHANGES and not self._busy and str(path).startswith(str(self._directory)):
            self._copy()

    def _copy(self) -> None:
        self._busy = True
        copy = self._copies / f"{len(self.snapshots):03d}"
        shutil.copytree(self._directory, copy)
        self.snapshots.append(copy)
        self._busy = False


_taps: list[Wiretap] = []


def _hook(event: str, args: tuple) -> None:
    for tap in _taps:
        tap.hear(event, args[0] if args else "")


sys.addaudithook(_hook)  # for the life of the process: Python has no way to take one out
