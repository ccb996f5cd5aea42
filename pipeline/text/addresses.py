"""Network addresses as people write them, and as sockets take them."""

import re
import socket
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.errors import UsageError


class Endpoint(NamedTuple):
    """An address as sockets take it."""

    family: socket.AddressFamily  # AF_INET or AF_INET6
    host: str  # the number, without brackets
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "::1" or self.host.startswith(("127.", "::ffff:127."))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def host_and_port(address: str) -> tuple[str, int]:
    """'h1:9000' -> ('h1', 9000); '[::1]:9000' -> ('::1', 9000). Raises UsageError."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 65536 or (match[1][0] == "[" and not _is_number(match[1].strip("[]"))):
        raise UsageError(
            f"the worker address '{address}' is not HOST:PORT with a port of 1 to 65535; write h1:9000 or [::1]:9000"
        )
    return match[1].strip("[]"), int(match[2])


def check_families(addresses: Sequence[str]) -> None:
    """Raises UsageError if some addresses are numbers of IPv4 and others of IPv6: such workers cannot meet."""
    hosts = [host_and_port(address)[0] for address in addresses]
    four = [host for host in hosts if _is_number(host, socket.AF_INET)]
    six = [host for host in hosts if _is_number(host)]
    if four and six:
        raise UsageError(
            f"the worker addresses mix IPv4 ({four[0]}) and IPv6 ({six[0]}); give all workers addresses of one kind"
        )


def resolved(address: str) -> list[Endpoint]:
    """The endpoints of HOST:PORT, those of IPv4 first: all workers take the first. Raises OSError if there is none."""
    host, port = host_and_port(address)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    endpoints = [Endpoint(family, str(name[0]), port) for family, _, _, _, name in found]
    return sorted(dict.fromkeys(endpoints), key=lambda endpoint: endpoint.family != socket.AF_INET)


def _is_number(host: str, family: socket.AddressFamily = socket.AF_INET6) -> bool:
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True
