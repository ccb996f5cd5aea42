"""A training in a process of its own: started, shown, stopped, and its end told as an exception."""

import contextlib
import fcntl
import os
import selectors
import signal
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Callable, Sequence

from pipeline import errors
from pipeline.api.screen import Feed, Screen
from pipeline.errors import ExitCode, PipelineError
from pipeline.process.environment import for_child

_BLOCK = 1 << 16
_MOST_LINES = 20  # of stderr, that are told with an end without a reason
_REASONS = {code.name.lower().replace("_", " "): code for code in ExitCode}


def train(arguments: Sequence[str], search: Sequence[str], screen: Screen, quiet: bool) -> None:
    """Runs pipeline.train with these arguments to its end.

    search: directories in which the child finds modules, besides its own. Raises the PipelineError of its exit code,
    RuntimeError for a crash, and KeyboardInterrupt after an interrupt, from the error with which it then ended.
    """
    child = _Child(arguments, search, screen, quiet)
    try:
        code = child.run()
    except BaseException:
        child.end()
        raise
    error = child.error(code)
    if child.interrupted:
        raise KeyboardInterrupt(str(error or "the training had just finished")) from error
    if error:
        raise error


class _Child:
    """The process, its stdout and its stderr. It has no terminal, so that an interrupt reaches it from here alone."""

    def __init__(self, arguments: Sequence[str], search: Sequence[str], screen: Screen, quiet: bool):
        self.interrupted = False
        self._screen, self._feed, self._stderr = screen, Feed(screen, quiet), _Stderr(screen)
        reading, writing = _terminal(screen.columns) if screen.columns and not quiet else os.pipe()
        self._stdout = open(reading, "rb", buffering=0)  # noqa: SIM115
        command = [sys.executable, "-m", "pipeline.process.children", str(os.getpid()), "pipeline.train", *arguments]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.PIPE,
                env=for_child(PYTHONPATH=os.pathsep.join(search)),
                start_new_session=True,
            )
        finally:
            os.close(writing)

    def run(self) -> int:
        """Shows what the process tells until it ends; its exit code. An interrupt stops it, a second one kills it."""
        while True:
            try:
                self._follow()
                return self._process.wait()
            except KeyboardInterrupt:
                self._process.send_signal(signal.SIGKILL if self.interrupted else signal.SIGINT)
                if not self.interrupted:
                    self._screen.line("stopping, once the state is saved; a second interrupt ends it at once")
                self.interrupted = True

    def _follow(self) -> None:
        """Shows what the process tells, until both its outputs are closed."""
        assert self._process.stderr is not None
        sinks: dict[int, Callable[[bytes], None]] = {
            self._stdout.fileno(): self._feed.write,
            self._process.stderr.fileno(): self._stderr.write,
        }
        with selectors.DefaultSelector() as selector:
            for descriptor in sinks:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    if data := _read(key.fd):
                        sinks[key.fd](data)
                    else:
                        selector.unregister(key.fd)
        self._feed.close()

    def end(self) -> None:
        """Asks the process to stop, where this one cannot go on with it; nobody reads then what it writes."""
        self._stdout.close()
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._process.terminate()
        self._process.wait()

    def error(self, code: int) -> Exception | None:
        """The error of an exit code; None for 0."""
        self._stdout.close()
        self._process.communicate()
        reason = self._stderr.reason(code)
        kind: type[PipelineError] | None = errors.kind_of(code)
        if code == ExitCode.DONE:
            return None
        if kind:
            return kind(reason or f"the training ended with exit code {code}, and gave no reason")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return RuntimeError(f"the training was ended {how}\n{self._stderr.tail}".rstrip())


class _Stderr:
    """The lines on a training's stderr: passed on, but for the one that says why it ended."""

    def __init__(self, screen: Screen):
        self._screen, self._rest, self._told = screen, b"", ""
        self._lines: list[str] = []

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            text = line.decode(errors="replace")
            self._lines = [*self._lines, text][-_MOST_LINES:]
            self._pass_on(self._told)
            self._told = text if text.partition(": ")[0] in _REASONS else ""
            self._pass_on("" if self._told else text)

    def reason(self, code: int) -> str:
        """The reason that the last line gives for an exit code; "" if it gives none."""
        if self._rest:
            self.write(b"\n")
        name, _, reason = self._told.partition(": ")
        if _REASONS.get(name) == code:
            return reason
        self._pass_on(self._told)
        return ""

    @property
    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._lines)

    def _pass_on(self, text: str) -> None:
        if text:
            self._screen.move("")
            print(text, file=sys.stderr, flush=True)


def _terminal(columns: int) -> tuple[int, int]:
    """A terminal of so many columns: its end here, and the end to write to."""
    reading, writing = os.openpty()
    tty.setraw(writing)  # nothing is echoed, and line feeds stay what they are
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("4H", 50, columns, 0, 0))
    return reading, writing


def _read(descriptor: int) -> bytes:
    """The next bytes; none at the end, which a terminal tells by an error."""
    with contextlib.suppress(OSError):
        return os.read(descriptor, _BLOCK)
    return b""
