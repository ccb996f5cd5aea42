"""The places that a training writes to: runs, data, caches, temporary files."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.diagnosis.findings import GIB, Finding
from pipeline.errors import ExitCode

LEAST_SPACE = GIB
# What is written below the home directory, and the flag or variable that leads elsewhere.
IN_HOME = {".cache/pipeline": "--data_dir", "tensorflow_datasets": "--data_dir", ".keras": "KERAS_HOME"}


def runs(run_dir: Path) -> Iterator[Finding]:
    """The disk of the run directory: its space, and whether it takes files and locks."""
    place = _nearest(run_dir)
    name = "run directory"
    if why := _refuses(place):
        fault = f"run_dir={run_dir} cannot be written ({why}); give another --run_dir, or allow it"
        yield Finding(name, "cannot be written", fault, ExitCode.STORAGE)
        return
    free = shutil.disk_usage(place).free
    found = f"{free / GIB:,.1f} GiB free, {'locks work' if (locks := _locks(place)) else 'no locks'}"
    if free < LEAST_SPACE:
        fault = f"run_dir={run_dir} has {free / GIB:.1f} GiB free; free some space, or give another --run_dir"
        yield Finding(name, found, fault, ExitCode.STORAGE)
    else:
        fault = "the file system has no locks (flock): two starts of one run on two hosts are told apart by time alone"
        yield Finding(name, found, "" if locks else f"{fault}; put runs elsewhere if you can")


def others() -> Iterator[Finding]:
    """The directories below the home directory, and that of temporary files."""
    home = Path(os.path.expanduser("~"))
    if not home.is_dir():
        fault = "the home directory is missing, where downloads and caches go; set HOME, or give --data_dir"
        yield Finding("home", "none", fault)
    else:
        closed = {name: flag for name in IN_HOME if (flag := IN_HOME[name]) and _refuses(_nearest(home / name))}
        faults = [f"~/{name} cannot be written; allow it, or lead elsewhere by {flag}" for name, flag in closed.items()]
        free = shutil.disk_usage(home).free
        yield Finding("home", f"{free / GIB:,.1f} GiB free", "; ".join(faults))
    try:
        place = Path(tempfile.gettempdir())
        yield Finding("temporary", f"{shutil.disk_usage(place).free / GIB:,.1f} GiB free")
    except OSError:
        yield Finding("temporary", "none", "no directory takes temporary files; set TMPDIR to one", ExitCode.STORAGE)


def _nearest(path: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    path = path.absolute()
    return next(above for above in [path, *path.parents] if above.is_dir())


def _refuses(place: Path) -> str:
    """Why a directory takes no file; "" if it does."""
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _locks(place: Path) -> bool:
    """Whether files there can be locked."""
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=place) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
