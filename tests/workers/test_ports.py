import os
import socket

import pytest

from pipeline.workers import ports


def test_free_ports_are_different_and_free():
    found = ports.free(4)
    assert len(set(found)) == 4 and [ports.taken(port) for port in found] == [""] * 4


@pytest.mark.parametrize("kind, name", [(socket.SOCK_STREAM, "TCP"), (socket.SOCK_DGRAM, "UDP")])
def test_whoever_holds_a_port_is_named(kind, name):
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind((ports.LOOPBACK, 0))
        if name == "TCP":
            held.listen()
        assert ports.taken(held.getsockname()[1]).startswith(f"{name} by process {os.getpid()} (")
