"""The environment of this process: the one place that reads its variables."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

PULSE_FD = "PIPELINE_PULSE_FD"  # the file descriptor to which a supervised worker writes a byte a second
JOB_SECRET = "PIPELINE_JOB_SECRET"  # by which the workers of a job know each other's messages; launchers draw it


def variables() -> Mapping[str, str]:
    """The variables as they are now."""
    return os.environ


def set_default(name: str, value: str) -> None:
    """Sets a variable that is not set, for libraries that are imported afterwards."""
    os.environ.setdefault(name, value)


def set_variable(name: str, value: str) -> None:
    """Sets a variable for libraries that are imported afterwards."""
    os.environ[name] = value


def for_child(**changes: str) -> dict[str, str]:
    """This environment with some variables changed, for a process to start."""
    return {**os.environ, **changes}


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal, and NO_COLOR (no-color.org) is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def pulse_fd() -> int | None:
    """The pipe for this process's signs of life; None if its parent asked for none."""
    value = os.environ.get(PULSE_FD, "")
    return int(value) if value.isdecimal() else None


def job_secret() -> bytes:
    """The key of the messages between the workers of this job; empty where no launcher gave one."""
    return os.environ.get(JOB_SECRET, "").strip().encode()


def visible_gpus(variables: Mapping[str, str] | None = None, devices: Path = Path("/dev")) -> list[str]:
    """The GPUs that a process may use, as CUDA_VISIBLE_DEVICES names them; TensorFlow is not asked."""
    there = [path.name for path in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    visible = (os.environ if variables is None else variables).get("CUDA_VISIBLE_DEVICES")
    if visible is None or not there:
        return [str(index) for index in range(len(there))]
    named = [name.strip() for name in visible.split(",")]
    return named[: next((k for k, name in enumerate(named) if name in ("", "-1")), len(named))]
