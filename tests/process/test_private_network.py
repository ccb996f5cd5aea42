"""A private network, tried by real processes: as this user, and as one without rights."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest

LISTENER = """
import socket, sys
from pipeline.process import private_network
print(private_network.enter() or "entered", flush=True)
with socket.create_server(("0.0.0.0", 0)) as server:
    with socket.create_connection(server.getsockname(), 5):
        print(server.getsockname()[1], flush=True)
    print(sorted(name for _, name in socket.if_nameindex()), flush=True)
    sys.stdin.read()
"""
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@contextlib.contextmanager
def listener(prefix=()) -> Iterator[tuple[subprocess.Popen, list[str]]]:
    """A process in a private network that listens on all addresses there; what it says."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", LISTENER], text=True, env=commands.environment(), cwd="/", **pipes
    )
    try:
        yield process, [process.stdout.readline().strip() for _ in range(3)]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("prefix", [[], NOBODY], ids=["as_we_are", "as_nobody"])
def test_what_listens_in_it_is_reached_from_inside_alone(prefix):
    if prefix and (os.geteuid() or not shutil.which("setpriv")):
        pytest.skip("to become another user needs root and setpriv")
    with listener(prefix) as (process, (entered, port, interfaces)):
        if entered != "entered":
            pytest.skip(f"private networks are not allowed here: {entered}")
        assert interfaces == "['lo']"
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as outside, pytest.raises(OSError):
                outside.connect((host, int(port)))
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        assert status["Uid"].split()[1] == ("65534" if prefix else str(os.geteuid()))
