"""What several workers need: ports, names, ssh, Slurm."""

import contextlib
import shutil
import socket
from collections.abc import Iterator

from pipeline.diagnosis.findings import Finding
from pipeline.errors import ExitCode, UsageError
from pipeline.process import environment
from pipeline.workers import ports, slurm

_SLURM = ("sbatch", "srun", "scontrol")


def findings() -> Iterator[Finding]:
    """All of them."""
    yield _ports()
    yield _name()
    yield _ssh()
    yield _slurm()


def _ports() -> Finding:
    """Whether two workers of this machine could have ports, and who else reaches them."""
    free = ports.free(2)
    if len(free) < 2:
        fault = f"of the ports {ports.RANGE.start} to {ports.RANGE.stop - 1} no two are free; end what holds them"
        return Finding("ports", "none free", fault, ExitCode.USAGE)
    reached = len(ports.exposed(free[0]))
    return Finding("ports", f"free ones for TCP and UDP; {reached} addresses beyond this machine's own loopback")


def _name() -> Finding:
    """Whether this machine's own name leads to an address that others reach."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
    except OSError:
        fault = "this machine's name has no address, and workers on several hosts need one; add it to DNS or /etc/hosts"
        return Finding("host name", "does not resolve", fault)
    if all(address == "::1" or address.startswith("127.") for address in found):
        fault = "this machine's name leads to its loopback alone; for several hosts give --worker_addresses by number"
        return Finding("host name", "resolves to the loopback", fault)
    return Finding("host name", "resolves")


def _ssh() -> Finding:
    there = shutil.which("ssh")
    return Finding(
        "ssh", "there" if there else "none", "" if there else "launch/ssh.sh needs ssh: install openssh-client"
    )


def _slurm() -> Finding:
    """Slurm's commands, and whether this process is part of a job."""
    there = [name for name in _SLURM if shutil.which(name)]
    variables = environment.variables()
    inside = "SLURM_JOB_ID" in variables
    found = f"{', '.join(there) or 'none'}{', inside of a job' if inside else ''}"
    if there and len(there) < len(_SLURM):
        missing = sorted(set(_SLURM) - set(there))
        return Finding("Slurm", found, f"launch/slurm.sbatch needs {', '.join(missing)} too; install Slurm's client")
    if slurm.is_task(variables):
        with contextlib.suppress(UsageError):
            slurm.workers(variables)
            return Finding("Slurm", found)
        fault = "Slurm's variables of this task are garbled; start it by srun --distribution=block"
        return Finding("Slurm", found, fault, ExitCode.USAGE)
    return Finding("Slurm", found)
