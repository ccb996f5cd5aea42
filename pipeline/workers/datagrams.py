"""The socket of a worker's datagrams, and where they go."""

import contextlib
import functools
import socket
from typing import Any

from pipeline.engine.topology import Workers
from pipeline.errors import UsageError
from pipeline.text.addresses import host_and_port, resolved
from pipeline.workers import ports

TURN_S = 1.0  # for which a socket waits for a datagram
LARGEST_DATAGRAM = 65507

Sender = tuple[Any, ...]  # where a datagram came from, as the socket says it


def bound(workers: Workers) -> socket.socket:
    """A worker's datagram socket; its TCP port, which TensorFlow will take, is free too. Raises UsageError."""
    host, port = host_and_port(workers.addresses[workers.index])
    error = ports.refusal(port, "TCP")
    for endpoint in [] if error else ports.own_endpoints(workers):
        datagrams = socket.socket(endpoint.family, socket.SOCK_DGRAM)
        try:
            datagrams.bind((endpoint.host, port))
            datagrams.settimeout(TURN_S)
            return datagrams
        except OSError as refused:
            datagrams.close()
            error = refused
    raise UsageError(
        f"port {port} of {host} cannot be used ({error.strerror if error else 'no address'}); end what uses it, or "
        "give this worker another port in --worker_addresses"
    )


def send(own: socket.socket, where: str | Sender, datagram: bytes) -> None:
    """Sends a datagram to HOST:PORT, or back; not to '', an address that is not known.

    One that cannot go is lost: whoever misses it will say so.
    """
    with contextlib.suppress(OSError):  # a cut link, or a name that is not known yet
        if where:
            own.sendto(datagram, target(where, own.family) if isinstance(where, str) else where)


@functools.cache
def target(address: str, family: int) -> tuple[str, int]:
    """IP and port of HOST:PORT; asked once, as a name server that hangs would silence this worker later.

    Raises OSError if it does not resolve, or to no address of this family.
    """
    for endpoint in resolved(address):
        if endpoint.family == family:
            return endpoint.host, endpoint.port
    raise OSError(f"{address} has no address of the same kind as this worker's own")
