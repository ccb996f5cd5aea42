"""Exit codes, the errors that carry them, and the line that tells one.

The codes follow sysexits.h where it has a name for the case. 75 and 76 tell a supervisor or a scheduler what to do.
"""

import enum
from collections.abc import Sequence


class ExitCode(enum.IntEnum):
    """What the end of a process means to whoever started it."""

    DONE = 0
    USAGE = 64  # a flag is wrong: starting again changes nothing
    BAD_DATA = 65  # an input is wrong: starting again changes nothing
    DIVERGED = 70  # a loss or gradient is not finite
    STORAGE = 74  # the run directory cannot be read or written
    PREEMPTED = 75  # saved: resume me
    PEER_LOST = 76  # another worker is gone: restart me


class PipelineError(Exception):
    """An end that a user can act on. Its message is one line: value, rule, remedy."""

    code: ExitCode


class UsageError(PipelineError):
    """A flag or argument breaks a rule."""

    code = ExitCode.USAGE


class BadDataError(PipelineError):
    """An input file is missing, unreadable or says something impossible."""

    code = ExitCode.BAD_DATA
    step: int | None = None  # the step that needs it, where an example is broken


class DivergedError(PipelineError):
    """A loss or gradient is not finite, or two replicas are not equal."""

    code = ExitCode.DIVERGED


class StorageError(PipelineError):
    """The run directory, or what lies in it, cannot be used."""

    code = ExitCode.STORAGE


class PreemptedError(PipelineError):
    """A signal asked for the end; everything that had to be saved is saved."""

    code = ExitCode.PREEMPTED


class PeerLostError(PipelineError):
    """Another worker of the job is gone, or no longer does its part."""

    code = ExitCode.PEER_LOST


def kind_of(code: int) -> type[PipelineError] | None:
    """The error that ends a process with this code; None if none of ours does."""
    return next((kind for kind in PipelineError.__subclasses__() if kind.code == code), None)


def error_line(code: int, message: str) -> str:
    """The line that says why a process ends with a code."""
    return f"{ExitCode(code).name.lower().replace('_', ' ')}: {' '.join(message.split())}"


# Of workers' codes that differ, the first of these tells most: a cause that no restart cures, then a full disk, then a
# stop that was asked for. A crash (any other code) comes next: "a peer is lost" is only what all the others say then.
MOST_TELLING_FIRST = (
    ExitCode.USAGE,
    ExitCode.BAD_DATA,
    ExitCode.DIVERGED,
    ExitCode.STORAGE,
    ExitCode.PREEMPTED,
)


def most_telling(codes: Sequence[int]) -> int:
    """Of several workers' exit codes, the one that says most about why the job ended."""
    for code in MOST_TELLING_FIRST:
        if code in codes:
            return code
    crashes = [code for code in codes if code not in (ExitCode.DONE, ExitCode.PEER_LOST)]
    return next(iter(crashes), max(codes))
