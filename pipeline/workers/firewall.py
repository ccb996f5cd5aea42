"""The rules by which a job's hosts alone reach its workers' ports: python -m pipeline.workers.firewall ADDRESSES."""

import shlex
import socket
import sys
from collections.abc import Sequence

from pipeline.text.addresses import host_and_port
from pipeline.workers import hostlists

_CHAIN = "inet pipeline input"


def command(addresses: Sequence[str]) -> str:
    """The command for root on every host of a job; it uses nftables, and `nft delete table inet pipeline` undoes it."""
    hosts = sorted({host_and_port(address)[0] for address in addresses})
    ports = ", ".join(map(str, sorted({host_and_port(address)[1] for address in addresses})))
    to_the_ports = f"meta l4proto {{ tcp, udp }} th dport {{ {ports} }}"
    rules = [
        "add table inet pipeline",
        f"add chain {_CHAIN} {{ type filter hook input priority 0; }}",
        f'add rule {_CHAIN} iifname "lo" accept',
        *(f"add rule {_CHAIN} {_from(host)} {to_the_ports} accept" for host in hosts),
        f"add rule {_CHAIN} {to_the_ports} drop",
    ]
    return f"nft {shlex.quote('; '.join(rules))}"


def _from(host: str) -> str:
    return f"ip6 saddr {host}" if ":" in host else f"ip saddr {_number(host)}"


def _number(host: str) -> str:
    """A host's number of IPv4, since nft refuses a name that has several; its name where it does not resolve here."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return host


def show(addresses: Sequence[str]) -> None:
    """Prints the command, and why."""
    print("# TensorFlow's runtime asks nobody for a password. So that only the job's hosts reach it, as root on each:")
    print(command(addresses))


if __name__ == "__main__":
    show(hostlists.hosts(sys.argv[1]))
