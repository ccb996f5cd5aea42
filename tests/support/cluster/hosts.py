"""Hosts with addresses of their own on this machine: network namespaces, joined by a bridge in one more.

They share this machine's files, processes and clock; what they do not share is the network. Nothing is added to the
machine's own. Linux, root and iproute2 are needed.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

_INPUT = "type filter hook input priority 0;"


def missing() -> str:
    """Why there can be no such hosts here; '' if there can."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "nft"))):
        return "hosts with networks of their own need root, iproute2, util-linux and nftables"
    name = f"probe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if made:
        _ip("netns", "del", name)
    return "" if made else "network namespaces are not allowed here"


def missing_links(rate: str) -> str:
    """Why there can be no hosts behind links of this rate here; '' if there can."""
    if why := missing() or ("" if shutil.which("tc") else "a link's rate needs tc, which comes with iproute2"):
        return why
    name = f"probe{os.getpid()}"
    _ip("netns", "add", name)
    try:
        tried = subprocess.run(["ip", "netns", "exec", name, *_limit("lo", rate)], capture_output=True, text=True)
        return " ".join(tried.stderr.split()) if tried.returncode else ""
    finally:
        _ip("netns", "del", name)


def _limit(device: str, rate: str) -> list[str]:
    """The command that bounds what leaves a device; after a pause, 128 KiB pass at once."""
    return ["tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", "128kb", "latency", "100ms"]


class Hosts:
    """Some hosts, 10.77.N.1 and so on; number 0 is the first."""

    def __init__(self, count: int):
        self._name = f"t{os.getpid()}"
        self.addresses = [f"10.77.{os.getpid() % 250}.{k + 1}" for k in range(count)]

    def __getitem__(self, host: int) -> list[str]:
        """What stands before a command that runs there."""
        return ["nsenter", f"--net=/run/netns/{self._name}h{host}", "--"]

    @property
    def bridge(self) -> list[str]:
        """What stands before a command that runs where the hosts' links meet: p0 is host 0's, and so on."""
        return ["nsenter", f"--net=/run/netns/{self._name}", "--"]

    def cut(self, host: int) -> None:
        """Takes a host off the network; its connections stall."""
        _ip("-n", self._name, "link", "set", f"p{host}", "down")

    def heal(self, host: int) -> None:
        """Puts it back; its connections go on after a moment."""
        _ip("-n", self._name, "link", "set", f"p{host}", "up")

    def limit(self, rate: str) -> None:
        """Bounds the link of every host, as 100mbit, in each direction."""
        for host in range(len(self.addresses)):
            _run(*self[host], *_limit("eth0", rate))
            _run(*self.bridge, *_limit(f"p{host}", rate))

    @contextlib.contextmanager
    def denying(self, host: int, rule: str) -> Iterator[None]:
        """Inside, a host drops what comes to it and matches a rule of nftables."""
        _run(*self[host], "nft", f"add table inet t; add chain inet t c {{ {_INPUT} }}; add rule inet t c {rule} drop")
        try:
            yield
        finally:
            _run(*self[host], "nft", "delete table inet t")

    def make(self) -> None:
        """Makes the hosts and the bridge."""
        _ip("netns", "add", self._name)
        _ip("-n", self._name, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._name, "link", "set", "bridge", "up")
        for k, address in enumerate(self.addresses):
            host = f"{self._name}h{k}"
            _ip("netns", "add", host)
            _ip("link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", f"p{k}", "netns", self._name)
            _ip("-n", self._name, "link", "set", f"p{k}", "master", "bridge", "up")
            _ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", host, "link", "set", device, "up")

    def end(self) -> None:
        """Removes them. What still runs there keeps its namespace, without a name."""
        for name in [self._name, *(f"{self._name}h{k}" for k in range(len(self.addresses)))]:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """Hosts that are there inside."""
    made = Hosts(count)
    try:
        made.make()
        yield made
    finally:
        made.end()
