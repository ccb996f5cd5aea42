"""A command under conditions that a process has from its start: python -m tests.faults.under CONDITIONS MODULE ARGS..

CONDITIONS is a JSON object: umask, nice, limits {name: bytes or number}, user (a number), cwd (deleted or unreadable).
"""

import json
import os
import resource
import runpy
import sys
import tempfile


def impose(umask=None, nice=0, limits=None, user=0, cwd="") -> None:
    """Puts this process under these conditions; each is as it was where nothing is said of it."""
    if umask is not None:
        os.umask(umask)
    os.nice(nice)
    if cwd:
        os.chdir(tempfile.mkdtemp(prefix="faults-cwd-"))
        os.rmdir(os.getcwd()) if cwd == "deleted" else os.chmod(".", 0)
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    for name, value in (limits or {}).items():
        resource.setrlimit(getattr(resource, name), (value, value))


if __name__ == "__main__":
    impose(**json.loads(sys.argv[1]))
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
