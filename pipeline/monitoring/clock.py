"""The time of a process by phase, and the speed of training."""

import collections
import contextlib
import time
from collections.abc import Iterator

# Phases inside of "training"; the rest of it is computing.
INSIDE_TRAINING = ("reduction", "input")
ADVANCING = ("training", "recheck")  # phases in which steps are computed


class Clock:
    """Seconds by phase, and the speed of training: images over the seconds of the phases in ADVANCING."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self.images = 0
        self._lately = (0, 0.0)  # images and training seconds at the last look
        self._since: float | None = None  # when the phase under way began
        self._split_before: dict[str, float] = {}

    @contextlib.contextmanager
    def timing(self, phase: str) -> Iterator[None]:
        """Adds the time inside to a phase."""
        started = self._since = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] += time.monotonic() - started
            self._since = None

    def count(self, images: int) -> None:
        """Adds the images of a call of the trainer."""
        self.images += images

    def waited(self, input_seconds: float, reduction_seconds: float) -> None:
        """Adds the seconds of the two phases inside of a training call."""
        self.seconds["input"] += input_seconds
        self.seconds["reduction"] += reduction_seconds

    def elapsed(self) -> float:
        """Seconds since the clock was made, with the run."""
        return time.monotonic() - self._started

    def split(self, of_ended: bool = False) -> dict[str, float]:
        """All seconds since the clock was made, by phase; each second counts once.

        of_ended: without the phase under way, whose seconds are part of "other" else. For any thread.

        start: the first call, which traces. reduction: the sum over workers. input: the towers' wait for examples.
        compute: training without reduction and input. saving: the wait of training for a checkpoint. evaluation: the
        scoring of splits. recheck: the rechecked steps, whole; only where there are some. other: reports, and the rest.
        """
        since, now, seconds = self._since, time.monotonic(), self.seconds
        split = {"compute": seconds["training"] - sum(seconds[phase] for phase in INSIDE_TRAINING)}
        split |= {phase: seconds[phase] for phase in (*INSIDE_TRAINING, "saving", "evaluation", "start")}
        split |= {"recheck": seconds["recheck"]} if "recheck" in seconds else {}
        under_way = now - since if of_ended and since is not None else 0.0
        return split | {"other": now - self._started - under_way - sum(split.values())}

    def recent_shares(self) -> dict[str, float]:
        """The share of each phase of `split` in the time since the last call of this method, in [0, 1]."""
        split = self.split()
        lately = {phase: seconds - self._split_before.get(phase, 0.0) for phase, seconds in split.items()}
        self._split_before = split
        return {phase: seconds / sum(lately.values()) for phase, seconds in lately.items()}

    def images_per_second(self) -> float:
        """The speed over all calls but those that trace; 0 before the first other one."""
        return self.images / self._advancing() if self._advancing() else 0.0

    def recent_images_per_second(self) -> float:
        """The speed since the last call of this method; 0 without training since then."""
        images, seconds = self.images - self._lately[0], self._advancing() - self._lately[1]
        self._lately = (self.images, self._advancing())
        return images / seconds if seconds else 0.0

    def _advancing(self) -> float:
        """Seconds in calls of the trainer that do not trace."""
        return sum(self.seconds.get(phase, 0.0) for phase in ADVANCING)
