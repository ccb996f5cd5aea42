"""Signals become one flag that the loop looks at between steps."""

import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def let_interrupts_end_it() -> None:
    """Ctrl-C ends this process at once and in silence, as it does other commands, until a Preemption takes over."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Preemption:
    """Whether this process was asked to stop. Further signals change nothing."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @classmethod
    def install(cls) -> "Preemption":
        """Takes the signals over; call it first of all, so that start-up is covered too."""
        preemption = cls()
        for number in SIGNALS:
            signal.signal(number, preemption._note)
        return preemption

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or signal.Signals(number)

    @property
    def requested(self) -> bool:
        """True from the first signal on."""
        return self.signal is not None
