"""A small disk in memory, whose files are kept where a run on it fails."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(mib: int) -> Iterator[Path]:
    """A disk of this size. If the block fails, all files on it and beside it are kept, and a line says where."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        disk = Path(directory, "disk")
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", disk], check=True)
        try:
            yield disk
        except BaseException:
            kept = tempfile.mkdtemp(prefix="chaos-failed-")
            shutil.copytree(directory, kept, dirs_exist_ok=True)
            print(f"the run directory and the logs of the supervisors are kept in {kept}", flush=True)
            raise
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)
