"""A mirror that follows a run: a thread beside the training, and a bounded wait for it at the end."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.config import Config
from pipeline.engine.topology import Topology
from pipeline.errors import PeerLostError, PipelineError, StorageError, UsageError
from pipeline.process import standard_error
from pipeline.process.preemption import Preemption
from pipeline.runs import manifests
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.mirror import restoring
from pipeline.runs.mirror.layout import Mirror, TakenOverError
from pipeline.runs.mirror.uploading import Uploader
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage import stores
from pipeline.storage.stores import RefusedError
from pipeline.workers.job import Job

LOOK_S = 0.5
EVERY_S = 60.0  # between updates without a new checkpoint; more where an update takes more than a tenth of it
LONGEST_PAUSE_S = 60.0  # between attempts while the store fails
HURRY_S = 2.0  # the same, at the end of a run
STOP_S = 1.0  # for an update in progress, where nobody waits for its success
MARGIN_S = 3.0  # of a stop's deadline that remains for the end itself


class Follower:
    """Keeps a mirror up to date with a run directory, in a thread that never holds the training up."""

    def __init__(self, mirror: Mirror, keep: int, best_by: str):
        """keep, best_by: see `Uploader`. A mirror without a claim could not be used at the start, which was told."""
        self._mirror, self._uploader = mirror, Uploader(mirror, keep, best_by)
        self._over, self._hurry = threading.Event(), threading.Event()
        self.why = ""  # the reason why the mirror is not up to date; "" if it was after the last update
        self.is_given_up = False  # whether it follows no more
        self._is_refused = False  # whether the store refused the last attempt, so that another one does not help
        self._begun = self._ended = self._good = 0  # the number of the update that did so last
        self._last: float = math.inf  # the number of the update after whose success there is nothing more to do
        self._thread = threading.Thread(target=self._follow, name="mirror", daemon=True)

    def start(self) -> None:
        """Begins to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Ends at the next chance, for which it waits a moment."""
        self._over.set()
        self._thread.join(STOP_S)

    def complete(self, seconds_left: Callable[[], float]) -> bool:
        """Waits for an update that begins from now on; whether it succeeded while there were seconds left."""
        self._last = wanted = self._begun + 1
        self._hurry.set()
        while self._good < wanted and not self._is_hopeless(wanted) and seconds_left() > 0:
            time.sleep(0.05)
        return self._good >= wanted

    def _is_hopeless(self, wanted: int) -> bool:
        return self.is_given_up or (self._is_refused and self._ended >= wanted)

    def _follow(self) -> None:
        failures = 0 if self._mirror.claim else 1
        while not self._over.is_set():
            started, newest = time.monotonic(), self._newest()
            self._begun += 1
            try:
                self._update()
            except (TakenOverError, UsageError) as error:
                self._give_up(error)
                return
            except Exception as error:  # whatever it is, it must not cost the run
                failures += 1
                self._failed(error, first=failures == 1)
                self._ended = self._begun
                self._wait(min(2.0 ** (failures - 1), LONGEST_PAUSE_S))
            else:
                self._recovered(failures)
                failures, self._ended, self._good = 0, self._begun, self._begun
                if self._good >= self._last:
                    return
                self._wait(max(EVERY_S, 10 * (time.monotonic() - started)), until_newer_than=newest)

    def _update(self) -> None:
        mirror = self._mirror
        if mirror.claim is None:  # the store could not be used at the start
            found = mirror.found()
            mirror.record_run(found)
            mirror.take(found)
        self._uploader.update()

    def _wait(self, seconds: float, until_newer_than: int | None = None) -> None:
        """Waits for this time, or until a checkpoint is newer than a step, or as short as the end of a run demands."""
        started = time.monotonic()
        while not self._over.is_set():
            if until_newer_than is not None and (self._hurry.is_set() or self._newest() > until_newer_than):
                return
            left = started + (min(seconds, HURRY_S) if self._hurry.is_set() else seconds) - time.monotonic()
            if left <= 0:
                return
            self._hurry.wait(min(left, LOOK_S)) if not self._hurry.is_set() else self._over.wait(min(left, LOOK_S))

    def _newest(self) -> int:
        return manifests.newest_step(self._mirror.checkpoints.directory)

    def _failed(self, error: Exception, first: bool) -> None:
        self.why, self._is_refused = str(error) or type(error).__name__, isinstance(error, RefusedError)
        if first and not self._hurry.is_set():  # at the end, what is missing is told then
            standard_error.tell(
                f"mirror={self._mirror.address} is behind ({self.why}); the run goes on, and the mirror is tried again"
            )

    def _recovered(self, failures: int) -> None:
        self.why, self._is_refused = "", False
        if failures:
            standard_error.tell(f"mirror={self._mirror.address} is up to date again")

    def _give_up(self, error: Exception) -> None:
        self.why = f"it was taken over by {error}" if isinstance(error, TakenOverError) else str(error)
        self.is_given_up = True
        standard_error.tell(f"mirror={self._mirror.address} is left alone: {self.why}; the run goes on without it")


class Following:
    """The mirror of a run, from the start of a launch to its end."""

    def __init__(self, asked: Config, directory: RunDirectory, checkpoints: Checkpoints):
        """Raises UsageError for a mirror that lies in the run directory, or the other way round."""
        self._asked = asked
        _check_apart(asked)
        self._mirror = Mirror(stores.opened(asked.mirror), directory, checkpoints)

    def restore(self, towers: Topology, stop: Preemption) -> None:
        """See `restoring.restore`."""
        restoring.restore(self._mirror, self._asked, towers, stop)

    @contextlib.contextmanager
    def during(self, job: Job) -> Iterator[None]:
        """Follows the work inside. At its end, parts from the other workers and waits for the mirror, for a while.

        A lost peer ends the work at once: the next start sends what is missing. Raises StorageError if the work was
        done, and the mirror lacks some of it.
        """
        follower = Follower(self._mirror, self._asked.keep_checkpoints, self._asked.best_by)
        follower.start()
        try:
            yield
        except PeerLostError:
            raise
        except PipelineError as error:
            job.part(error)
            if not self._complete(follower, job):
                standard_error.tell(self._incomplete(follower))
            raise
        else:
            job.part(None)
            if not self._complete(follower, job):
                raise StorageError(f"the run is finished here, but {self._incomplete(follower)}")
        finally:
            follower.stop()

    def _complete(self, follower: Follower, job: Job) -> bool:
        end = time.monotonic() + self._asked.mirror_timeout
        return follower.complete(lambda: min(end - time.monotonic(), job.seconds_left - MARGIN_S))

    def _incomplete(self, follower: Follower) -> str:
        why = follower.why or "it took too long; a larger --mirror_timeout waits for it"
        remedy = "start the same command again" if follower.is_given_up else "the same command sends the rest"
        return f"mirror={self._mirror.address} is not complete ({why}); {remedy}"


def _check_apart(asked: Config) -> None:
    if "://" in asked.mirror:
        return
    mirror, run_dir = Path(asked.mirror).resolve(), Path(asked.run_dir).resolve()
    if mirror.is_relative_to(run_dir) or run_dir.is_relative_to(mirror):
        raise UsageError(
            f"mirror={asked.mirror} and run_dir={asked.run_dir} lie in each other; give a directory elsewhere"
        )
