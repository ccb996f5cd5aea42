"""Exit codes, the errors that carry them, and the line that reports an error.

The codes follow sysexits.h where it has a name for the case. By 75 and 76 a supervisor or scheduler knows what to do.
"""

import enum
import re
from collections.abc import Sequence


class ExitCode(enum.IntEnum):
    """The meaning of a process's end, for its supervisor or scheduler."""

    DONE = 0
    USAGE = 64  # a flag is wrong: a restart does not help
    BAD_DATA = 65  # an input is wrong: a restart does not help
    DIVERGED = 70  # a loss or gradient is not finite
    STORAGE = 74  # the run directory, or a store that files lie in, cannot be read or written
    PREEMPTED = 75  # saved: resume me
    PEER_LOST = 76  # another worker is gone: restart me


class PipelineError(Exception):
    """An error that a user can act on. Its message is one line: value, rule, remedy."""

    code: ExitCode


class UsageError(PipelineError):
    """A flag or argument breaks a rule."""

    code = ExitCode.USAGE


class BadDataError(PipelineError):
    """An input file is missing or unreadable, or its content is impossible."""

    code = ExitCode.BAD_DATA


class DivergedError(PipelineError):
    """A loss or gradient is not finite, or two replicas are not equal."""

    code = ExitCode.DIVERGED


class StorageError(PipelineError):
    """The run directory, a file in it, or a store that files lie in, cannot be used."""

    code = ExitCode.STORAGE


class PreemptedError(PipelineError):
    """The process was asked to stop, and everything is saved."""

    code = ExitCode.PREEMPTED


class RegroupError(PreemptedError):
    """Everything is saved, so that the job goes on with other workers; a supervisor starts those again that stay."""


class PeerLostError(PipelineError):
    """Another worker of the job is gone or stalled."""

    code = ExitCode.PEER_LOST


def kind_of(code: int) -> type[PipelineError] | None:
    """The error class with this exit code; None if no PipelineError has it."""
    return next((kind for kind in PipelineError.__subclasses__() if kind.code == code), None)


def told_in(text: str) -> PipelineError | None:
    """The error whose traceback stands in a text, as TensorFlow tells what Python raised inside of it."""
    found = re.search(rf"^{re.escape(__name__)}\.(\w+): (.*)$", text, re.MULTILINE)
    kinds = {kind.__name__: kind for kind in PipelineError.__subclasses__()}
    return kinds[found[1]](found[2]) if found and found[1] in kinds else None


def shown(text: str) -> str:
    r"""The text as a terminal may show it: all that is not printable, but line breaks, as an escape, such as \x1b.

    Names in users' files may hold sequences that a terminal would obey.
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def error_line(code: int, message: str) -> str:
    """The line that reports why a process ends with a code."""
    return f"{ExitCode(code).name.lower().replace('_', ' ')}: {shown(' '.join(message.split()))}"


# Where workers end with different codes, the first of these in the list names the cause: first a cause that no restart
# cures, then a full disk, then a requested stop. A crash (any other code) comes next, since the other workers of a
# crashed one all report a lost peer.
MOST_TELLING_FIRST = (
    ExitCode.USAGE,
    ExitCode.BAD_DATA,
    ExitCode.DIVERGED,
    ExitCode.STORAGE,
    ExitCode.PREEMPTED,
)


def most_telling(codes: Sequence[int]) -> int:
    """The exit code, among those of several workers, that names the cause of the job's end."""
    for code in MOST_TELLING_FIRST:
        if code in codes:
            return code
    crashes = [code for code in codes if code not in (ExitCode.DONE, ExitCode.PEER_LOST)]
    return next(iter(crashes), max(codes))
