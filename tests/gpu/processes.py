"""Processes that share one machine: as many at a time as it bears, the earlier check's first, and what each told."""

import contextlib
import dataclasses
import heapq
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
TAIL = 3000  # characters of stderr that are kept
POLL_S = 0.02
_closed = threading.Event()  # set once no process may start
_live: set[int] = set()  # the numbers of the processes that run


class OutOfTimeError(Exception):
    """The time for new checks is over."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """A process that has ended, and what it told."""

    words: Sequence[str]
    code: int
    lines: Sequence[str]  # of stdout
    stderr: str
    seconds: float
    peak_mib: int  # of its resident set

    @property
    def result(self) -> dict:
        """The JSON in the last line of stdout; {} if there is none."""
        try:
            found = json.loads(self.lines[-1])
        except (IndexError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def sha256(self) -> str:
        """Of the parameters; where there is none, how the process ended."""
        return self.result.get("parameters_sha256") or f"none ({self.trouble})"

    @property
    def trouble(self) -> str:
        """The exit code and the last line of stderr; '' for a process that ended well."""
        last = (self.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        return f"exit {self.code}: {last[:200]}" if self.code else ""

    def record(self) -> dict:
        """For the JSON file."""
        told = {"words": list(self.words), "code": self.code, "seconds": round(self.seconds, 1), "last": self.result}
        return told | ({"stderr": self.stderr[-TAIL:], "stdout": self.lines[-10:]} if self.code or self.stderr else {})


class Places:
    """Places for processes. Whoever waits with the lowest rank is served first, also if it needs all of them."""

    def __init__(self, count: int, stop_at: float):
        """stop_at: the time.monotonic() from which on no rank that has not begun is served."""
        self.count, self._free, self._stop_at = count, count, stop_at
        self._changed, self._waiting, self._ticket = threading.Condition(), [], itertools.count()
        self._begun: set[int] = set()

    @contextlib.contextmanager
    def taken(self, rank: int, need: int) -> Iterator[None]:
        """Holds `need` places (0: all) inside. Raises OutOfTimeError."""
        need = min(need, self.count) or self.count
        turn = (rank, next(self._ticket))
        with self._changed:
            heapq.heappush(self._waiting, turn)
            self._changed.wait_for(lambda: self._waiting[0] == turn and (self._free >= need or self._too_late(rank)))
            heapq.heappop(self._waiting)
            late = self._too_late(rank)
            if not late:
                self._begun.add(rank)
                self._free -= need
            self._changed.notify_all()
        if late:
            raise OutOfTimeError
        try:
            yield
        finally:
            with self._changed:
                self._free += need
                self._changed.notify_all()

    def _too_late(self, rank: int) -> bool:
        return rank not in self._begun and time.monotonic() > self._stop_at


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, for a command that runs from the working tree."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TF_CONFIG"))}
    # The driver compiles kernels that TensorFlow does not bring for this GPU; all of them are to be kept.
    cache = {"CUDA_CACHE_MAXSIZE": str(4 << 30)} | kept
    return {**cache, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **changes}


def run(words: Sequence[str], timeout_s: float, until: Callable[[], bool] | None = None, **changes: str) -> Ended:
    """Runs `python WORDS` to its end, or kills it (-9) when `until` holds or the time is over.

    changes: of its environment.
    """
    if _closed.is_set():
        raise OutOfTimeError
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [sys.executable, *words],
            **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, "cwd": ROOT, "start_new_session": True},
            env=environment(**changes),
        )
        _live.add(process.pid)
        code, peak_mib, late = _wait(process, began + timeout_s, until)
        _live.discard(process.pid)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
    late_note = f"\nkilled after {timeout_s:.0f} s" if late else ""
    return Ended(words, code, texts[0].splitlines(), texts[1] + late_note, time.monotonic() - began, peak_mib)


def end_all() -> None:
    """Kills the processes that still run, and lets no other start."""
    _closed.set()
    for pid in list(_live):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _wait(process: subprocess.Popen, give_up: float, until: Callable[[], bool] | None) -> tuple[int, int, bool]:
    """The exit code, the largest resident set in MiB, and whether the time was over."""
    late = False
    while True:
        number, status, usage = os.wait4(process.pid, os.WNOHANG)
        if number:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_maxrss // 1024, late
        late = late or time.monotonic() > give_up
        if late or (until is not None and until()):
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(POLL_S)


def flags_of(words: Mapping[str, object]) -> list[str]:
    """Flags as a command line takes them."""
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in words.items()]
