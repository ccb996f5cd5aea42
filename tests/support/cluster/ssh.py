"""Real ssh servers, one on each of some hosts, and the options by which a client reaches them."""

import contextlib
import getpass
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from cluster import hosts
from cluster.hosts import Hosts

SSHD = "/usr/sbin/sshd"
DEADLINE_S = 30
SERVER = """\
Port 22
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/key.pub
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
PidFile none
"""
CLIENT = """\
IdentityFile {directory}/key
IdentitiesOnly yes
User {user}
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
"""


def missing() -> str:
    """Why there can be no servers here; '' if there can."""
    if not Path(SSHD).exists() or not shutil.which("ssh"):
        return "ssh and sshd are not installed (Debian: openssh-server, openssh-client)"
    return hosts.missing()


@contextlib.contextmanager
def servers(network: Hosts, directory: Path) -> Iterator[str]:
    """Inside, every host answers ssh; yields the client's command."""
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    (directory / "sshd_config").write_text(SERVER.format(directory=directory))
    (directory / "ssh_config").write_text(CLIENT.format(directory=directory, user=getpass.getuser()))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself up before it knows a user
    command = f"ssh -F {directory}/ssh_config"
    with contextlib.ExitStack() as stack:
        for k in range(len(network.addresses)):
            log = stack.enter_context((directory / f"sshd.{k}.log").open("w"))
            server = [*network[k], SSHD, "-D", "-e", "-f", str(directory / "sshd_config")]
            process = subprocess.Popen(server, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for address in network.addresses:
            _until_it_answers([*network[0], *command.split(), address, "true"])
        yield command


def _until_it_answers(command: list[str]) -> None:
    give_up = time.monotonic() + DEADLINE_S
    while subprocess.run(command, capture_output=True).returncode:
        assert time.monotonic() < give_up, command
        time.sleep(0.1)
