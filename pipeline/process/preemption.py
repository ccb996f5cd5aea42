"""Signals, and whatever else asks for it, become one flag that the loop looks at between steps."""

import contextlib
import operator
import os
import signal
import sys
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)

# A handler that does nothing, and in C: one in Python is itself interrupted by the next signal, and that one by the
# one after it, so that a storm of them ends in a RecursionError anywhere.
_NOTHING = operator.is_


def let_interrupts_end_it() -> None:
    """Ctrl-C ends this process at once and in silence, as it does other commands, until a Preemption takes over."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def sigterm_held_back() -> Iterator[None]:
    """A SIGTERM that comes inside is taken at the end. Threads that are started inside never take one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _print_unless_late_signal(unraisable: sys.UnraisableHookArgs) -> None:
    """Prints an error that Python cannot raise, unless its cause is a signal that came just before it was ignored."""
    if "ignored due to race condition" not in str(unraisable.exc_value):  # as CPython words it, from 3.10 on
        sys.__unraisablehook__(unraisable)


class Preemption:
    """Whether this process was asked to stop, and by what. The first to ask counts; the others change nothing."""

    def __init__(self) -> None:
        self._reason: str | None = None
        # Whoever ignores SIGHUP before the start, as nohup does, wants to outlive the terminal.
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._listened = [number for number in SIGNALS if not (ignored and number == signal.SIGHUP)]
        # Python runs a handler in the main thread alone, which may wait for TensorFlow for long. But it writes the
        # number of a signal to a file at once, whatever that thread does, and there any thread can look. Where the
        # file is full, the first, which counts, stands in it.
        self._signals, self._written_at_once = os.pipe()
        for descriptor in (self._signals, self._written_at_once):
            os.set_blocking(descriptor, False)

    @classmethod
    @contextlib.contextmanager
    def listening(cls) -> Iterator["Preemption"]:
        """Takes the signals over, for as long as this process lives; enter it first of all, for start-up too."""
        preemption = cls()
        preemption.listen()
        try:
            yield preemption
        finally:
            sys.unraisablehook = _print_unless_late_signal
            # As Python ends it puts its handlers back to the default, by which a late signal would kill the process
            # and so replace its exit code; those that are ignored stay so.
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            signal.set_wakeup_fd(-1)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """What happens inside may take SIGTERM over, as TensorFlow's collective runtime does: none is lost to it.

        Only threads that were started while SIGTERM was held back may be there.
        """
        with sigterm_held_back():
            yield
            self.listen()

    def listen(self) -> None:
        """Takes the signals over from whoever has them."""
        for number in self._listened:
            signal.signal(number, _NOTHING)
        signal.set_wakeup_fd(self._written_at_once, warn_on_full_buffer=False)

    def ask(self, reason: str) -> None:
        """Asks for a stop; for any thread."""
        self._reason = self.reason or reason

    @property
    def reason(self) -> str | None:
        """Who asked for a stop, once someone did; for any thread."""
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._signals, 1000):
                if number in self._listened:
                    self._reason = self._reason or signal.Signals(number).name
        return self._reason

    @property
    def requested(self) -> bool:
        """True from the first time on that a stop was asked for."""
        return self.reason is not None
