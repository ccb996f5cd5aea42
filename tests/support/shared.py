"""Directories that tests share, also where several processes run them: whoever comes first makes one."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest


def directory(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The directory of this name, in which `make` was called once in all of this run. Not to be changed by a test."""
    base = factory.getbasetemp()
    # xdist gives each of its workers a directory below one of the run.
    base = base.parent if base.name.startswith("popen-") else base
    path = base / name
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not Path(f"{path}.done").exists():
            path.mkdir()
            make(path)
            Path(f"{path}.done").touch()
    return path
