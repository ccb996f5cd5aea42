"""Faults of any one file, wherever it lies."""

import os
from pathlib import Path

from tests.faults.world import Try


def truncate(tried: Try, path: Path) -> None:
    os.truncate(path, tried.draws.randrange(max(1, path.stat().st_size)))


def delete(tried: Try, path: Path) -> None:
    path.unlink()


def empty(tried: Try, path: Path) -> None:
    path.write_bytes(b"")


def fifo(tried: Try, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(tried: Try, path: Path) -> None:
    path.unlink()
    path.mkdir()
