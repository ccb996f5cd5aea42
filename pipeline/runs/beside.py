"""What follows a run from the start of a launch to its end: begun, and waited for once the work is done."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import PeerLostError, PipelineError
from pipeline.process.follower import Follower

if TYPE_CHECKING:
    from pipeline.workers.job import Job


@contextlib.contextmanager
def following(
    job: "Job", followers: Sequence[Follower], complete: Callable[[PipelineError | None], None]
) -> Iterator[None]:
    """Lets followers follow the work inside. At its end, parts from the other workers and calls `complete`.

    complete: gets the error that ended the work, if any, and waits for the followers. A lost peer ends the work at
    once: the next start sends what is missing.
    """
    for follower in followers:
        follower.start()
    try:
        yield
    except PeerLostError:
        raise
    except PipelineError as error:
        job.part(error)
        complete(error)
        raise
    else:
        job.part(None)
        complete(None)
    finally:
        for follower in followers:
            follower.stop()
