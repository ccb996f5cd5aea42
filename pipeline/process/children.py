"""Child processes that do not outlive this one."""

import ctypes
import os
import signal
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
