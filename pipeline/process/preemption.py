"""Preemption: signals and other requests for a stop set one flag, which the loop reads between steps."""

import contextlib
import operator
import os
import signal
import sys
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)

# A handler that does nothing, written in C. The next signal would interrupt a handler in Python, and so on: a storm of
# signals would end in a RecursionError.
_NOTHING = operator.is_


def end_on_interrupt() -> None:
    """Lets Ctrl-C end this process at once and in silence, as in other commands, until a Preemption takes over."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def sigterm_held_back() -> Iterator[None]:
    """Defers a SIGTERM that comes inside until the end. Threads that are started inside never handle one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _print_unless_late_signal(unraisable: "sys.UnraisableHookArgs") -> None:
    """Prints an error that Python cannot raise, unless its cause is a signal that came just before it was ignored."""
    if "ignored due to race condition" not in str(unraisable.exc_value):  # as CPython words it, from 3.10 on
        sys.__unraisablehook__(unraisable)


class Preemption:
    """Whether this process was asked to stop, and by what. Only the first request counts."""

    def __init__(self) -> None:
        self._reason: str | None = None
        # SIGHUP is ignored before the start, as by nohup, if the process is to outlive its terminal.
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._listened = [number for number in SIGNALS if not (ignored and number == signal.SIGHUP)]
        # Python runs a handler only in the main thread, which may wait long for TensorFlow. But it writes the number of
        # a signal to this pipe at once, and any thread can read it there. A full pipe still holds the first signal,
        # which counts.
        self._signals, self._written_at_once = os.pipe()
        for descriptor in (self._signals, self._written_at_once):
            os.set_blocking(descriptor, False)

    @classmethod
    @contextlib.contextmanager
    def listening(cls) -> Iterator["Preemption"]:
        """Takes the signals over for the rest of this process. Enter it first, so that it covers the start too."""
        preemption = cls()
        preemption.listen()
        try:
            yield preemption
        finally:
            sys.unraisablehook = _print_unless_late_signal
            # At its end Python sets handled signals back to the default, so that a late signal would kill the process
            # and replace its exit code. Signals that are ignored stay ignored.
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            signal.set_wakeup_fd(-1)

    @contextlib.contextmanager
    def sigterm_retaken(self) -> Iterator[None]:
        """Takes SIGTERM back from code inside that installs a handler, as TensorFlow's collective runtime does.

        No SIGTERM is lost, if all other threads were started inside of `sigterm_held_back`.
        """
        with sigterm_held_back():
            yield
            self.listen()

    def listen(self) -> None:
        """Takes the signals over from any other handler."""
        for number in self._listened:
            signal.signal(number, _NOTHING)
        signal.set_wakeup_fd(self._written_at_once, warn_on_full_buffer=False)

    def ask(self, reason: str) -> None:
        """Asks for a stop. Any thread may call it."""
        self._reason = self.reason or reason

    @property
    def reason(self) -> str | None:
        """The first request for a stop: a signal's name, or the text given to `ask`; None before. For any thread."""
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._signals, 1000):
                if number in self._listened:
                    self._reason = self._reason or signal.Signals(number).name
        return self._reason

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return self.reason is not None
