"""Child processes that do not outlive this one.

`python -m pipeline.process.children PARENT MODULE ARGUMENTS...` runs a module, and asks it to stop as soon as its
parent, the process PARENT, is gone. It is for a parent of many threads, in which `die_with` would not be safe, for that
runs between fork and exec.
"""

import ctypes
import os
import runpy
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None)  # before any fork: the child only calls it


def die_with(parent: int) -> Callable[[], None]:
    """A function for a child to call first of all: the kernel then kills it as soon as `parent` is gone."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def _stop_with(parent: int) -> None:
    """Lets the kernel send this process SIGTERM as soon as `parent` is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    del sys.argv[0]
    _stop_with(int(sys.argv.pop(0)))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
