"""Commands without the two seconds that the import of TensorFlow takes each: forked from a process that has it.

A forked command is a process of its own: with its own arguments, environment, directory and descriptors it runs the
module as `python -m` does, and it ends as any Python does. It shares with the others only modules that are imported
already, none of them of this project, and the seed of its hashes. TensorFlow has started nothing before the fork.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence

from pipeline.process.startup import import_tensorflow

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_MOST_BYTES = 1 << 18  # of one request
# Variables that a fork would take over too late.
_READ_AT_START = ("PYTHON", "TF_", "LD_", "OMP_", "OPENBLAS_", "HOME", "KERAS", "ONEDNN_", "DNNL_", "XLA_")


class ForkServer:
    """The process that has TensorFlow, for as long as this one lives."""

    def __init__(self, environment: Mapping[str, str]):
        self._libc = ctypes.CDLL(None)
        self._start_variables = _of_start(environment)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
            )

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a fork can have this environment: what is read only as a process starts is the server's."""
        return _of_start(environment) == self._start_variables

    def fork(self, words: Sequence[str], environment: Mapping[str, str], cwd: str, descriptors: Sequence[int]) -> int:
        """Starts `words`, a module and its arguments, on these stdin, stdout and stderr; the number of our new child.

        The fork's parent ends at once, and the kernel gives it to the next process above that takes orphans.
        """
        request = json.dumps({"words": words, "environment": dict(environment), "cwd": cwd}).encode()
        assert len(request) < _MOST_BYTES
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        try:
            socket.send_fds(self._socket, [request], descriptors)
            return int(self._socket.recv(100))
        finally:
            self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)


class Forked(subprocess.Popen):
    """A command that a fork server starts; in all else a Popen."""

    def __init__(self, server: ForkServer, words: Sequence[str], **options):
        self._server = server
        super().__init__(words, **options)

    def _execute_child(
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *further,
    ):  # fmt: skip
        """What Popen does by fork and exec."""
        descriptors = [ours if ours >= 0 else number for number, ours in enumerate((p2cread, c2pwrite, errwrite))]
        try:
            self.pid = self._server.fork(args, env, str(cwd or os.getcwd()), descriptors)
            self._child_created = True
        finally:
            self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)


def _of_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


# --- in the server ---


def _main(requests: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is for the tests to answer; this ends with them
    import_tensorflow()
    import tensorboard.backend.event_processing.event_file_loader  # noqa: F401
    import tqdm  # noqa: F401

    gc.freeze()
    module = _serve(requests)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _serve(requests: socket.socket) -> str:
    """Answers requests for as long as one can come; returns in each fork only, with the module to run there."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _MOST_BYTES, 3)
        if not request:
            os._exit(0)
        reading, writing = os.pipe()
        if not (between := _fork()):
            if pid := _fork():
                os.write(writing, b"%d" % pid)
                os._exit(0)
            os.close(reading)
            os.close(writing)
            requests.close()
            return _become(descriptors=descriptors, **json.loads(request))
        os.waitpid(between, 0)
        requests.send(os.read(reading, 100))
        for descriptor in (reading, writing, *descriptors):
            os.close(descriptor)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: one, of OpenBLAS, which is made for forks
        return os.fork()


def _become(words: Sequence[str], environment: Mapping[str, str], cwd: str, descriptors: Sequence[int]) -> str:
    """Makes this process what `python -m WORDS` would have started as; returns the module."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[0] = os.getcwd()
    sys.argv[1:] = words[1:]
    return words[0]


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
