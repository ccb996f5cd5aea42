"""Work that is done again and again beside the training: in a thread that never holds it up, with retries."""

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Callable

from pipeline.process import standard_error

LOOK_S = 0.5
LONGEST_PAUSE_S = 60.0  # between attempts while they fail
HURRY_S = 2.0  # the same, at the end of a run
MOST_TEXT = 300  # characters of a reason
STOP_S = 1.0  # for an attempt in progress, where nobody waits for its success


class GivenUpError(Exception):
    """No further attempt makes sense. Its message is the reason."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a follower does, and how its messages name it."""

    subject: str  # what is kept up to date, as mirror=ADDRESS
    update: Callable[[], None]  # brings it up to date; raises GivenUpError, and any other error for a further attempt
    every_s: float  # between updates without news
    rest: float = 10.0  # the same, at least, as a multiple of what the update before took
    finish: Callable[[], None] = lambda: None  # completes the last update, and raises like it; also called at a stop
    newest: Callable[[], int] = lambda: 0  # rises with news that should not wait that long
    refusals: tuple[type[Exception], ...] = ()  # after which another attempt does not help at the end of a run


class Follower:
    """Keeps something up to date with a run. Its errors are told in one line and never raised."""

    def __init__(self, task: Task, is_behind: bool = False):
        """is_behind: whether it was told already that the task fails."""
        self._task, self._failures = task, int(is_behind)
        self._over, self._hurry = threading.Event(), threading.Event()
        self.why = ""  # the reason why it is not up to date; "" if it was after the last update
        self.is_given_up = False  # whether it follows no more
        self._is_refused = False
        self._begun = self._ended = self._good = 0  # the number of the update that did so last
        self._last: float = math.inf  # the number of the update after whose success there is nothing more to do
        self._thread = threading.Thread(target=self._follow, name=task.subject, daemon=True)

    def start(self) -> None:
        """Begins to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Ends at the next chance, for which it waits a moment."""
        self._over.set()
        self._thread.join(STOP_S)

    def hurry(self) -> None:
        """Lets an update begin that is the last, if it succeeds."""
        self._last = min(self._last, self._begun + 1)
        self._hurry.set()

    def complete(self, seconds_left: Callable[[], float]) -> bool:
        """Waits for an update that begins from now on; whether it succeeded while there were seconds left."""
        self.hurry()
        while self._good < self._last and not self._is_hopeless and seconds_left() > 0:
            time.sleep(0.05)
        return self._good >= self._last

    @property
    def _is_hopeless(self) -> bool:
        return self.is_given_up or (self._is_refused and self._ended >= self._last)

    def _follow(self) -> None:
        while not self._over.is_set():
            started, newest = time.monotonic(), self._task.newest()
            self._begun += 1
            try:
                self._task.update()
                if self._begun >= self._last:
                    self._task.finish()
            except GivenUpError as error:
                self._give_up(error)
                return
            except Exception as error:  # whatever it is, it must not cost the run
                self._failures += 1
                self._failed(error)
                self._ended = self._begun
                self._wait(min(2.0 ** (self._failures - 1), LONGEST_PAUSE_S))
            else:
                self._succeeded()
                if self._good >= self._last:
                    return
                self._wait(
                    max(self._task.every_s, self._task.rest * (time.monotonic() - started)), until_newer_than=newest
                )
        with contextlib.suppress(Exception):
            self._task.finish()

    def _wait(self, seconds: float, until_newer_than: int | None = None) -> None:
        """Waits for this time, or until there is news, or as short as the end of a run demands."""
        started = time.monotonic()
        while not self._over.is_set():
            if until_newer_than is not None and (self._hurry.is_set() or self._task.newest() > until_newer_than):
                return
            left = started + (min(seconds, HURRY_S) if self._hurry.is_set() else seconds) - time.monotonic()
            if left <= 0:
                return
            self._hurry.wait(min(left, LOOK_S)) if not self._hurry.is_set() else self._over.wait(min(left, LOOK_S))

    def _failed(self, error: Exception) -> None:
        self.why = one_line(error)
        self._is_refused = isinstance(error, self._task.refusals)
        if self._failures == 1 and not self._hurry.is_set():  # at the end, what is missing is told then
            subject = self._task.subject
            standard_error.tell(f"{subject} is behind ({self.why}); the run goes on, and further attempts follow")

    def _succeeded(self) -> None:
        self.why, self._is_refused = "", False
        if self._failures:
            standard_error.tell(f"{self._task.subject} is up to date again")
        self._failures, self._ended, self._good = 0, self._begun, self._begun

    def _give_up(self, error: Exception) -> None:
        self.why, self.is_given_up = str(error), True
        standard_error.tell(f"{self._task.subject} is left alone: {self.why}; the run goes on without it")


def one_line(error: Exception) -> str:
    """What an error of any library says, as far as a line takes it."""
    return " ".join(str(error).split())[:MOST_TEXT] or type(error).__name__
