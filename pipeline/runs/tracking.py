"""The trackers of a run: followed beside a training, or brought up to date after it. It needs no TensorFlow."""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline import tracking
from pipeline.errors import PipelineError, StorageError
from pipeline.process import standard_error
from pipeline.process.follower import Follower, Task, one_line
from pipeline.runs import beside, naming
from pipeline.runs.run_directory import RunDirectory
from pipeline.tracking.sender import Alone, Sender
from pipeline.tracking.tracker import Tracked

if TYPE_CHECKING:
    from pipeline.workers.job import Job

EVERY_S = 2.0  # between updates
REST = 2.0  # the same, at least, as a multiple of what the update before took
END_S = 30.0  # that the end of a run waits for its trackers
ATTEMPTS = 3  # of the command
PAUSE_S = 1.0  # between them
MARGIN_S = 3.0  # of a stop's deadline that remains for the end itself


class Tracking:
    """The trackers of a run, each with a thread of its own."""

    def __init__(self, directory: RunDirectory, track: str):
        """track: as --track takes it. Raises StorageError if the run's name cannot be read."""
        self._directory, self._names = directory, tracking.names(track)
        self._alone = Alone(directory.path)
        if self._names:
            naming.read(directory.tracking, "track")

    @contextlib.contextmanager
    def during(self, job: "Job") -> Iterator[None]:
        """Follows the work inside. At its end, parts from the other workers and waits for the trackers, for a while.

        A tracker that fails costs a line on stderr, never the run. A lost peer ends the work at once.
        """
        followers = self._followers() if self._names else {}

        def complete(error: PipelineError | None) -> None:
            left = min(END_S, (job.seconds_left - MARGIN_S) / 2)  # the other half is for a mirror
            for line in _incomplete(followers, left):
                standard_error.tell(f"{line}; {self._remedy}")

        try:
            with beside.following(job, list(followers.values()), complete) if followers else contextlib.nullcontext():
                yield
        finally:
            self._alone.release()

    def complete(self) -> None:
        """Brings the trackers up to date, however long that takes. Raises StorageError if one of them fails."""
        run = self._tracked()
        try:
            failed = {name: why for name in self._names if (why := _attempted(self._task(name, run)))}
        finally:
            self._alone.release()
        if failed:
            lines = [f"track={name} is not complete ({why})" for name, why in failed.items()]
            raise StorageError(f"{'; '.join(lines)}; the same command sends the rest")

    @property
    def _remedy(self) -> str:
        return f"python -m pipeline.track --run_dir={self._directory.path} --track=… sends the rest"

    def _followers(self) -> dict[str, Follower]:
        run = self._tracked()
        return {name: Follower(self._task(name, run)) for name in self._names}

    def _tracked(self) -> Tracked:
        """The run, with a name from now on. Raises StorageError."""
        config = self._directory.recorded()
        assert config is not None, "the run is recorded before it is tracked"
        name = naming.read(self._directory.tracking, "track")
        if not name:
            name = naming.new()
            self._directory.write(self._directory.tracking, naming.text(name))
        return Tracked(name, self._directory.path, config)

    def _task(self, name: str, run: Tracked) -> Task:
        """What brings a tracker up to date. Its package is imported by the first update, in the follower's thread."""
        senders: list[Sender] = []

        def update() -> None:
            self._alone.take()
            if not senders:
                senders.append(Sender(tracking.made(name), run))
            senders[0].update()

        def close() -> None:
            for sender in senders:
                sender.close()

        return Task(f"track={name}", update, EVERY_S, REST, close)


def _attempted(task: Task) -> str:
    """Does a task, in some attempts. Returns "", or why it failed. Raises PipelineError."""
    why = ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_S if attempt else 0)
        try:
            task.update()
            task.finish()
            return ""
        except PipelineError:
            raise
        except Exception as error:  # each tracker has its own
            why = one_line(error)
    return why


def _incomplete(followers: dict[str, Follower], seconds: float) -> list[str]:
    """A line for each tracker that is not up to date in this time."""
    end = time.monotonic() + seconds
    for follower in followers.values():
        follower.hurry()
    done = {name: follower.complete(lambda: end - time.monotonic()) for name, follower in followers.items()}
    why = {name: follower.why or f"it took longer than {seconds:.0f} s" for name, follower in followers.items()}
    return [f"track={name} is not complete ({why[name]})" for name, is_done in done.items() if not is_done]
