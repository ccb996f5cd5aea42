"""A command under conditions that a process has from its start: python -m tests.faults.under CONDITIONS MODULE ARGS..

CONDITIONS is a JSON object: umask, nice, limits {name: bytes or number}, cwd (deleted or unreadable), mind_permissions.
"""

import ctypes
import json
import os
import resource
import runpy
import sys
import tempfile

_VERSION = 0x20080522  # linux/capability.h
_OVERRIDES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


def mind() -> None:
    """Makes permissions count for this process, also if it is root's: it then may what the owner of a file may."""
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice, for 64 bits
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, sets) == 0
    for number in range(3):
        sets[number] &= ~_OVERRIDES
    assert libc.capset(header, sets) == 0


def impose(umask=None, nice=0, limits=None, cwd="", mind_permissions=False) -> None:
    """Puts this process under these conditions; each is as it was where nothing is said of it."""
    if umask is not None:
        os.umask(umask)
    os.nice(nice)
    if cwd:
        os.chdir(tempfile.mkdtemp(dir=".."))
        os.rmdir(os.getcwd()) if cwd == "deleted" else os.chmod(".", 0)
    if mind_permissions:
        mind()
    for name, value in (limits or {}).items():
        resource.setrlimit(getattr(resource, name), (value, value))


if __name__ == "__main__":
    impose(**json.loads(sys.argv[1]))
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
