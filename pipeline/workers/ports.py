"""Ports of this machine: free ones, and who holds one that is not."""

import contextlib
import itertools
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
RANGE = range(12000, 32000)  # for workers: below the ports that Linux gives to outgoing connections


def free(count: int) -> list[int]:
    """Ports that are free for TCP and UDP at this moment."""
    candidates = random.sample(RANGE, len(RANGE))
    return list(itertools.islice((port for port in candidates if not taken(port)), count))


def taken(port: int) -> str:
    """'' if this machine's port is free for TCP and UDP, else by whom it is held, as 'TCP by process 7 (python)'."""
    return next((f"{kind} by {_holder(port, kind)}" for kind in _KINDS if not _is_free(port, kind)), "")


def _is_free(port: int, kind: str) -> bool:
    with socket.socket(socket.AF_INET, _KINDS[kind]) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == "TCP"))  # past connections do not count
        try:
            trial.bind(("", port))
        except OSError:
            return False
    return True


def _holder(port: int, kind: str) -> str:
    """The process that holds a port, as far as this user may know; Linux's /proc/net/tcp, proc(5)."""
    inodes = set()
    for table in (Path("/proc/net", kind.lower()), Path("/proc/net", kind.lower() + "6")):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in table.read_text().splitlines()[1:]]
            inodes |= {row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port and row[9] != "0"}
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) in sockets:
                return f"process {link.parts[2]} ({(link.parents[1] / 'comm').read_text().strip()})"
    return "a process of another user, or not allowed"
