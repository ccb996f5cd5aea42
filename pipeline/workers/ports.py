"""Ports of this machine: free ones, and who holds one that is not."""

import contextlib
import errno
import itertools
import random
import re
import socket
from pathlib import Path

from pipeline.engine.topology import Workers
from pipeline.text.addresses import Endpoint, resolved

LOOPBACK = "127.0.0.1"
_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_FAMILIES = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
RANGE = range(12000, 32000)  # for workers: below the ports that Linux gives to outgoing connections


def free(count: int) -> list[int]:
    """Ports that are free for TCP and UDP at this moment."""
    candidates = random.sample(RANGE, len(RANGE))
    return list(itertools.islice((port for port in candidates if not taken(port)), count))


def taken(port: int) -> str:
    """'' if this machine's port is free for TCP and UDP, else by whom it is held, as 'TCP by process 7 (python)'."""
    return next((f"{kind} by {holder(port, kind)}" for kind in _KINDS if not _is_free(port, kind)), "")


def _is_free(port: int, kind: str) -> bool:
    return refusal(port, kind) is None


def refusal(port: int, kind: str) -> OSError | None:
    """Why this process cannot take a port of all addresses, of IPv4 and of IPv6; None if it can. kind: TCP or UDP."""
    for family, anywhere in _FAMILIES.items():
        try:
            with socket.socket(family, _KINDS[kind]) as trial:
                # Past connections do not count.
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == "TCP"))
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind((anywhere, port))
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):  # this machine has no IPv6
                return error
    return None


def holder(port: int, kind: str) -> str:
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


def own_endpoints(workers: Workers) -> list[Endpoint]:
    """Where a worker listens, the best first: at the address by which the others know it, else at all addresses.

    The first cannot be had where the address is translated on its way, where its name does not resolve yet, and where
    it resolves to the loopback on this host alone (as Debian's /etc/hosts has it).
    """
    address = workers.addresses[workers.index]
    anywhere = [Endpoint(socket.AF_INET, "0.0.0.0", 0), Endpoint(socket.AF_INET6, "::", 0)]
    try:
        own = resolved(address)
    except OSError:
        return anywhere
    if own[0].is_loopback and not all(other and is_local(other) for other in workers.addresses):
        return anywhere
    return [*own, *(endpoint for endpoint in anywhere if endpoint.family == own[0].family)]


def is_local(address: str) -> bool:
    """Whether HOST:PORT is on this machine's loopback; False also for a name that does not resolve."""
    with contextlib.suppress(OSError):
        return resolved(address)[0].is_loopback
    return False


def exposed(port: int) -> list[str]:
    """The addresses beyond the loopback at which this machine is reached, with a port; proc(5), of Linux."""
    return [str(endpoint) for endpoint in _own_addresses(port) if not endpoint.is_loopback]


def _own_addresses(port: int) -> list[Endpoint]:
    """All addresses of this machine, or of its network namespace."""
    four, six = set(), set()
    with contextlib.suppress(OSError):
        trie = Path("/proc/net/fib_trie").read_text()
        four = set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", trie))
    with contextlib.suppress(OSError):
        words = [line.split()[0] for line in Path("/proc/net/if_inet6").read_text().splitlines()]
        six = {socket.inet_ntop(socket.AF_INET6, bytes.fromhex(word)) for word in words}
    found = [(socket.AF_INET, host) for host in sorted(four)] + [(socket.AF_INET6, host) for host in sorted(six)]
    return [Endpoint(family, host, port) for family, host in found]
