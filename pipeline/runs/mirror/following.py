"""A mirror that follows a run beside the training, and a bounded wait for it at the end."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Config
from pipeline.engine.topology import Topology
from pipeline.errors import PipelineError, StorageError, UsageError
from pipeline.process import standard_error
from pipeline.process.follower import Follower, GivenUpError, Task
from pipeline.process.preemption import Preemption
from pipeline.runs import beside, manifests
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.mirror import restoring
from pipeline.runs.mirror.layout import Mirror, TakenOverError
from pipeline.runs.mirror.uploading import Uploader
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage import stores
from pipeline.storage.stores import RefusedError
from pipeline.workers.job import Job

EVERY_S = 60.0  # between updates without a new checkpoint
MARGIN_S = 3.0  # of a stop's deadline that remains for the end itself


def follower_of(mirror: Mirror, keep: int, best_by: str) -> Follower:
    """Keeps a mirror up to date with a run directory. keep, best_by: see `Uploader`.

    A mirror without a claim could not be used at the start, which was told.
    """
    uploader = Uploader(mirror, keep, best_by)

    def update() -> None:
        try:
            if mirror.claim is None:
                found = mirror.found()
                mirror.record_run(found)
                mirror.take(found)
            uploader.update()
        except TakenOverError as error:
            raise GivenUpError(f"it was taken over by {error}") from None
        except UsageError as error:
            raise GivenUpError(str(error)) from None

    task = Task(
        f"mirror={mirror.address}",
        update,
        EVERY_S,
        newest=lambda: manifests.newest_step(mirror.checkpoints.directory),
        refusals=(RefusedError,),
    )
    return Follower(task, is_behind=mirror.claim is None)


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
        follow = follower_of(self._mirror, self._asked.keep_checkpoints, self._asked.best_by)

        def complete(error: PipelineError | None) -> None:
            if self._complete(follow, job):
                return
            if error is None:
                raise StorageError(f"the run is finished here, but {self._incomplete(follow)}")
            standard_error.tell(self._incomplete(follow))

        with beside.following(job, [follow], complete):
            yield

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
