"""The processor, the memory, the limits of this process, and the GPUs."""

import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from pipeline.diagnosis.findings import GIB, Finding
from pipeline.engine import hardware
from pipeline.errors import ExitCode
from pipeline.process.environment import visible_gpus
from pipeline.process.startup import LEAST_ADDRESS_SPACE

LEAST_MEMORY = 2 * GIB  # that must be available: TensorFlow alone takes half of it
LEAST_FILES = 1024  # that may be open
_NVIDIA = "0x10de"  # the maker's number in PCI's register
_DISPLAY = "0x03"  # the class of display controllers there


def cores(root: Path = Path("/")) -> Iterator[Finding]:
    """The cores that this process may use, and the instructions that matter."""
    count, quota = len(os.sched_getaffinity(0)), _quota(root)
    conditions = hardware.conditions(root / "proc/cpuinfo")
    found = f"{count} of {os.cpu_count()}" + (f", of which {quota:g} by a quota" if quota else "")
    fault = ""
    if quota and quota < count:
        fault = (
            f"the container may use {quota:g} of {count} cores, and threads are counted by cores; start runs with "
            f"--intra_op_threads={max(math.floor(quota), 1)}"
        )
    yield Finding("cores", found, fault)
    fault = ""
    if conditions["variables"]:
        fault = (
            f"these variables change numbers, and so bits: {conditions['variables']}; unset them, unless you mean it"
        )
    yield Finding("processor", f"{conditions['machine']} with {conditions['instructions'] or 'SSE2'}", fault)


def _quota(root: Path) -> float:
    """The cores that a control group allows; 0 without a limit; cgroups(7), version 2."""
    try:
        most, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()
        return int(most) / int(period)
    except (OSError, ValueError):
        return 0.0


def memory(root: Path = Path("/")) -> Finding:
    """The memory that is there and available, and the limits on it."""
    sizes = _meminfo(root)
    available, total = sizes.get("MemAvailable", 0), sizes.get("MemTotal", 0)
    limit, used = (_bytes(root / "sys/fs/cgroup" / name) for name in ("memory.max", "memory.current"))
    if limit and limit < total:
        total, available = limit, min(available, max(limit - used, 0))
    found = f"{available / GIB:.1f} GiB available of {total / GIB:.1f}"
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < LEAST_ADDRESS_SPACE:
        fault = f"ulimit -v allows {most >> 20:,} MiB, and TensorFlow takes {LEAST_ADDRESS_SPACE >> 20:,}; raise it"
        return Finding("memory", found, fault, ExitCode.USAGE)
    if total and available < LEAST_MEMORY:
        fault = f"{available / GIB:.1f} GiB of memory are available, and a small training takes 1 to 2; free some"
        return Finding("memory", found, fault)
    return Finding("memory", found)


def _meminfo(root: Path) -> dict[str, int]:
    """The sizes in /proc/meminfo, in bytes."""
    try:
        rows = [line.split() for line in (root / "proc/meminfo").read_text().splitlines()]
    except OSError:
        return {}
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}


def _bytes(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max"
        return 0


def limits() -> Finding:
    """The number of files that may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "any number of" if soft == resource.RLIM_INFINITY else f"{soft:,}"
    fault = ""
    if soft != resource.RLIM_INFINITY and soft < LEAST_FILES:
        fault = f"{soft} files may be open, which many workers or data files exceed; ulimit -n {max(hard, LEAST_FILES)}"
    return Finding("open files", f"{most} allowed", fault)


def gpus(seen: int, root: Path = Path("/")) -> Finding:
    """The GPUs of this machine, their driver, and whether TensorFlow sees those that it may.

    seen: the number that TensorFlow sees; -1 if it does not work.
    """
    cards, nodes = _cards(root), visible_gpus({}, root / "dev")
    visible = visible_gpus(devices=root / "dev")
    if not cards and not nodes:
        return Finding("GPUs", "none")
    driver = _driver(root)
    found = f"{max(cards, len(nodes))} of NVIDIA, {driver or 'no driver'}, TensorFlow sees {max(seen, 0)}"
    if not nodes:
        fault = "there is an NVIDIA GPU without a driver; install it, or start the container with its GPUs (--gpus all)"
    elif len(visible) < len(nodes) and seen == len(visible):
        return Finding(
            "GPUs", found, f"CUDA_VISIBLE_DEVICES hides {len(nodes) - len(visible)} of them; unset it for all"
        )
    elif 0 <= seen < len(visible):
        fault = (
            f"TensorFlow sees {seen} of {len(visible)} GPUs, and trainings would leave the others idle; install CUDA's "
            "libraries: pip install 'tower-pipeline[gpu]' (in a checkout: PIPELINE_EXTRAS=gpu ./launch/train.sh)"
        )
    else:
        return Finding("GPUs", found)
    return Finding("GPUs", found, fault, ExitCode.USAGE)


def _cards(root: Path) -> int:
    """The number of NVIDIA's GPUs on the bus, also of those without a driver."""
    count = 0
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        count += vendor == _NVIDIA and kind.startswith(_DISPLAY)
    return count


def _driver(root: Path) -> str:
    conditions = hardware.conditions(root / "proc/cpuinfo", root / "proc/driver/nvidia")
    return conditions["cuda"].partition(",")[0]
