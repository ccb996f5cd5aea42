"""--notify: a message to people or programs when a launch ends, however it ends."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator

from pipeline.config import Config
from pipeline.errors import ExitCode, PipelineError, RegroupError
from pipeline.monitoring.history import Event
from pipeline.process import messages, standard_error
from pipeline.runs.run_directory import RunDirectory
from pipeline.workers.job import Job

MOST_S = 10.0  # that all attempts may take; less than the time after which workers miss each other
LEAST_S = 3.0  # that they may take where a stop leaves less
OF_STOP_S = 1.0  # of a stop's deadline that remains for the end itself
MOST_TEXT = 2000  # characters of a message


class Notices:
    """The notices of the chief of a run. Without --notify it sends none."""

    def __init__(self, asked: Config, directory: RunDirectory, job: Job):
        self._target, self._directory, self._job = asked.notify, directory, job
        self._quiet_end = False
        if self._target:
            job.watchdog.last_word = self._tell_error

    def nothing_was_done(self) -> None:
        """Keeps a launch silent that found the run finished, unless it fails."""
        self._quiet_end = True

    @contextlib.contextmanager
    def of_end(self) -> Iterator[None]:
        """Tells how the work inside ended, after it parted from the other workers."""
        if not self._target:
            yield
            return
        try:
            yield
        except RegroupError:  # no end: it goes on
            raise
        except PipelineError as error:
            self._job.part(error)
            self._tell_error(error)
            raise
        except Exception as error:
            self._job.part(None)
            self._tell("crashed", 1, f"{type(error).__name__}: {error}")
            raise
        else:
            if not self._quiet_end:
                self._job.part(None)
                self._tell("finished", ExitCode.DONE, "finished", self._directory.history().result)

    def _tell_error(self, error: PipelineError) -> None:
        self._tell(error.code.name.lower(), error.code, str(error))

    def _tell(self, event: str, code: int, message: str, result: Event | None = None) -> None:
        run_dir, host = str(self._directory.path), socket.gethostname()
        message = message[:MOST_TEXT]
        text = (
            f"{run_dir} on {host}: {event.replace('_', ' ')}: {message}" if code else f"{run_dir} on {host}: finished"
        )
        result = result or {}
        step = result.get("step", self._job.phases.current.step)
        told = {"text": text, "event": event, "exit_code": int(code), "message": message, "step": step}
        place = {"run_dir": run_dir, "host": host, "time": round(time.time(), 3)}
        names = ("test_accuracy", "test_loss", "wall_seconds", "parameters_sha256")
        content = json.dumps({**told, **place, **{name: result[name] for name in names if name in result}}).encode()
        if why := messages.send(self._target, content, self._seconds_left()):
            shown = messages.shown(self._target)
            standard_error.tell(f"notify={shown} was not told of the end ({why}); the run is not affected")

    def _seconds_left(self) -> Callable[[], float]:
        seconds = max(LEAST_S, min(MOST_S, self._job.seconds_left - OF_STOP_S))
        end = time.monotonic() + seconds
        return lambda: end - time.monotonic()
