"""Findings about the surroundings of a training, and their text, which tells nobody who or where the user is."""

import contextlib
import dataclasses
import getpass
import os
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.errors import ExitCode, error_line
from pipeline.text.tables import aligned

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    found: str
    fault: str = ""  # what is wrong with it, and the remedy, in one line; "" if nothing is
    code: ExitCode = ExitCode.DONE  # with which a training would end for it; DONE for what only some trainings need

    @property
    def verdict(self) -> str:
        """ok, remark, or problem."""
        return "ok" if not self.fault else "problem" if self.code else "remark"


def lines(findings: Sequence[Finding]) -> list[str]:
    """A table of all findings, then a line for each remark and each problem."""
    told = aligned([(one.name, one.found or "none", one.verdict) for one in findings])
    told += [f"remark: {one.fault}" for one in findings if one.verdict == "remark"]
    told += [error_line(one.code, one.fault) for one in findings if one.verdict == "problem"]
    return [without(_own_names(), line) for line in told]


def without(secrets: Iterable[tuple[str, str]], line: str) -> str:
    """The line with each secret replaced, where it stands as a word or a path of its own."""
    for secret, instead in secrets:
        line = re.sub(rf"(?<![\w.-]){re.escape(secret)}(?![\w-])", instead, line)
    return line


def _own_names() -> list[tuple[str, str]]:
    """What would tell who and where the user is, the longest first, and what is to stand there instead."""
    names = {str(Path(os.path.expanduser("~"))): "~"}
    for host in (socket.gethostname(), socket.gethostname().partition(".")[0]):
        names[host] = "HOST"
    with contextlib.suppress(KeyError, OSError):  # of a user without a name
        names[getpass.getuser()] = "USER"
    return sorted(((name, to) for name, to in names.items() if len(name) > 1), key=lambda pair: -len(pair[0]))
