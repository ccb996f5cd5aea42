"""One worker as the supervisor sees it: a child process with a pulse, an exit code, and lines to pass on."""

import contextlib
import functools
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from pipeline.process import pulse
from pipeline.process.children import die_with
from pipeline.process.environment import PULSE_FD


class WorkerProcess:
    """A worker that runs. It does not outlive this process, however this one ends."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        selector: selectors.BaseSelector,
        prefixes: tuple[str, str] | None,
    ):
        """Starts it. prefixes: of its lines on stdout and on stderr; None: it writes to ours itself."""
        self._selector = selector
        self._takers: dict[int, Callable[[bytes], None]] = {}  # what takes the bytes of each open descriptor
        self.has_pulse = False  # a first byte came, and it did not announce another start
        self.waits = False  # it only waits for others
        self.regroups = False  # it said that it ends to be started again
        self.heard = False  # a byte came since this was last set to False
        pulse_end, worker_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if prefixes else None,
                stderr=subprocess.PIPE if prefixes else None,
                env={**environment, PULSE_FD: str(worker_end)},
                pass_fds=[worker_end],
                preexec_fn=die_with(os.getpid()),
            )
        finally:
            os.close(worker_end)
        self._watch(pulse_end, self._note_pulse)
        for index, stream in enumerate((self._process.stdout, self._process.stderr)):
            if prefixes and stream:
                self._watch(os.dup(stream.fileno()), _Lines(prefixes[index], to=index + 1))
                stream.close()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, as a shell gives it (128 + N after signal N); None while it lives."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal; one that comes too late is lost."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Kills it if it lives, passes its last lines on, and closes its pipes."""
        self._process.kill()
        self._process.wait()
        for descriptor in list(self._takers):
            with contextlib.suppress(BlockingIOError):  # where it left a child that may still write
                while descriptor in self._takers:
                    self._take(descriptor)
            self._close(descriptor)

    def _watch(self, descriptor: int, taker: Callable[[bytes], None]) -> None:
        os.set_blocking(descriptor, False)
        self._takers[descriptor] = taker
        self._selector.register(descriptor, selectors.EVENT_READ, functools.partial(self._take, descriptor))

    def _take(self, descriptor: int) -> None:
        """Reads the bytes that came; closes the descriptor at its end. Raises BlockingIOError if none came yet."""
        received = os.read(descriptor, 65536)
        self._takers[descriptor](received)
        if not received:
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        if self._takers.pop(descriptor, None):
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _note_pulse(self, received: bytes) -> None:
        self.heard = self.heard or bool(received)
        self.has_pulse = not received.endswith(pulse.STARTS) if received else self.has_pulse
        self.waits = received.endswith(pulse.WAITS)
        self.regroups = self.regroups or pulse.REGROUPS in received


class _Lines:
    """Passes whole lines on to a descriptor of this process, each with a prefix."""

    def __init__(self, prefix: str, to: int):
        self._prefix, self._to, self._rest = prefix.encode(), to, b""

    def __call__(self, received: bytes) -> None:
        """Takes some bytes; none at all are the end, at which a line without its end is passed on too."""
        *lines, self._rest = (self._rest + (received or (b"\n" if self._rest else b""))).split(b"\n")
        text = b"".join(self._prefix + line + b"\n" for line in lines)
        with contextlib.suppress(OSError):  # whoever read it is gone, or its disk is full: no reason to stop a job
            while text:
                text = text[os.write(self._to, text) :]
