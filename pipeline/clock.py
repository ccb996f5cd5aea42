"""Where a process's time went."""

import collections
import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Seconds by phase, and the speed of training: images over the seconds of the phase "training" alone."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self.images = 0
        self._lately = (0, 0.0)  # images and training seconds at the last look

    @contextlib.contextmanager
    def timing(self, phase: str) -> Iterator[None]:
        """Counts the time inside to a phase."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] += time.monotonic() - started

    def elapsed(self) -> float:
        """Seconds since this process's loop was made."""
        return time.monotonic() - self._started

    def images_per_second(self) -> float:
        """Over all steps but the first call, which traces; 0 if there were no others."""
        return self.images / self.seconds["training"] if self.seconds["training"] else 0.0

    def images_per_second_lately(self) -> float:
        """The same since the last call of this method."""
        images, seconds = self.images - self._lately[0], self.seconds["training"] - self._lately[1]
        self._lately = (self.images, self.seconds["training"])
        return images / seconds if seconds else 0.0
