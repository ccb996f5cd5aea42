"""Faults that end a command on its way: signals, a disk that is full, a file that may grow no more."""

import os
import signal
import subprocess

from tests.faults.world import Try

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGKILL, signal.SIGKILL)


def signalled(tried: Try) -> str:
    if tried.command != "train" or tried.sent:
        return ""
    number = tried.draws.choice(SIGNALS)
    tried.sent = number, tried.draws.uniform(0.3, 3.5)
    return f"{number.name} after {tried.sent[1]:.2f} s"


def small_files(tried: Try) -> str:
    size = tried.draws.choice((0, 100, 1000, 4096, 20_000, 60_000, 200_000))
    if "limits" in tried.conditions:
        return ""
    tried.conditions["limits"] = {"RLIMIT_FSIZE": size}
    return f"files of at most {size} bytes"


def full_disk(tried: Try) -> str:
    """The run directory moves to a disk of its own, on which little is free."""
    if os.geteuid() or tried.run.is_symlink() or tried.run != tried.root / "run":
        return ""
    old = tried.run.rename(tried.root / "old")
    tried.run.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tried.run], check=False)
    if mounted.returncode:
        tried.run.rmdir()
        old.rename(tried.run)
        return ""
    tried.undo.append(lambda: subprocess.run(["umount", "--lazy", tried.run], check=True))
    subprocess.run(["cp", "-a", f"{old}/.", tried.run], check=True)
    subprocess.run(["rm", "-r", old], check=True)
    free = tried.draws.choice((0, 4096, 20_000, 60_000, 150_000, 400_000))
    status = os.statvfs(tried.run)
    filler = max(0, status.f_bavail * status.f_frsize - free)
    (tried.run / "filler").write_bytes(bytes(filler))
    return f"{free} bytes are free on the disk"


def mend(tried: Try) -> None:
    """Makes the disk empty again."""
    if (tried.run / "filler").is_file():
        (tried.run / "filler").write_bytes(b"")


FAULTS = [signalled, signalled, signalled, small_files, full_disk]
