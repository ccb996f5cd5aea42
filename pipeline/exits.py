"""Exit codes, and the errors that carry them: the one place that ends a process.

The codes follow sysexits.h where it has a name for the case; 75 and 76 tell a supervisor or a
scheduler what to do next.
"""

import contextlib
import enum
import os
import sys
from collections.abc import Collection

from pipeline.spelling import did_you_mean


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


class DivergedError(PipelineError):
    """A loss or gradient is not finite, or two replicas are not equal."""

    code = ExitCode.DIVERGED


class StorageError(PipelineError):
    """The run directory, or what lies in it, cannot be used."""

    code = ExitCode.STORAGE


class PreemptedError(PipelineError):
    """A signal asked for the end; everything that had to be saved is saved."""

    code = ExitCode.PREEMPTED


def pass_on(code: int) -> None:
    """Ends the process with the exit code of another, that it stood for."""
    sys.exit(code)


class PeerLostError(PipelineError):
    """Another worker of the job is gone, or no longer does its part."""

    code = ExitCode.PEER_LOST


def kind_of(code: int) -> type[PipelineError] | None:
    """The error that ends a process with this code; None if none of ours does."""
    return next((kind for kind in PipelineError.__subclasses__() if kind.code == code), None)


def exit_with(error: PipelineError) -> None:
    """Ends the process with the error's code and its message as one line on stderr."""
    print(told(error.code, str(error)), file=sys.stderr, flush=True)
    sys.exit(int(error.code))


def exit_now(error: PipelineError) -> None:
    """The same from any thread, whatever the others are doing or waiting for."""
    with contextlib.suppress(OSError):
        line = told(error.code, str(error))
        os.write(2, f"{line}\n".encode())  # past Python's buffers, whose locks another thread may hold
    os._exit(int(error.code))


def told(code: int, message: str) -> str:
    """The line that says why a process ends with a code."""
    return f"{ExitCode(code).name.lower().replace('_', ' ')}: {' '.join(message.split())}"


def nearest(value: str, known: Collection[str]) -> str:
    """The end of an error line about an unknown name: the nearest one, and all that are known."""
    return f"; {did_you_mean(value, known)}known: {', '.join(known)}"
