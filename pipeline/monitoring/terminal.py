"""The lines about a run on stdout: lines that stay and, on a terminal, one line that moves."""

import errno
import os
import sys
from collections.abc import Callable

from tqdm import tqdm

from pipeline.errors import StorageError

_LIVE_LINE = "step {n}/{total} {percentage:.0f}%  {desc}  {remaining} left {bar}"


class Terminal:
    """Stdout. quiet: only the result is printed. verbose: details are printed too.

    In a file or a pipe no line moves; lines that stay show the progress instead. Where stdout can no longer be written
    (its reader is gone, its disk is full, it was closed), the terminal falls silent: a run goes on without a reader.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False):
        self._quiet, self._verbose = quiet, verbose
        self._live: tqdm | None = None
        self.error: OSError | None = None if sys.stdout else OSError(None, "it was closed")  # the reason of its silence

    @property
    def is_live(self) -> bool:
        """Whether there is a moving line."""
        return not self.error and sys.stdout.isatty() and not self._quiet

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        if not self._quiet:
            self._print(text)

    def milestone(self, text: str) -> None:
        """Prints a line that repeats the moving line. Where there is one, only --verbose prints it."""
        if self._verbose or not self.is_live:
            self.line(text)

    def detail(self, text: str) -> None:
        """Prints a line if --verbose was given."""
        if self._verbose:
            self.line(text)

    def move(self, step: int, steps: int, text: str) -> None:
        """Updates the moving line: the step, the share done, the text, the time left."""
        if self.is_live:
            self._attempt(lambda: self._move(step, steps, text))

    def clear(self) -> None:
        """Removes the moving line."""
        live, self._live = self._live, None
        if live is not None:
            self._attempt(live.close)

    def result(self, line: str) -> None:
        """Prints the last line, also with --quiet.

        Raises StorageError where stdout is a file on a full disk: its reader would miss the result.
        """
        self.clear()
        self._print(line)
        if self.error and self.error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"stdout cannot be written: {self.error.strerror}; the run is whole in its directory, whose "
                "metrics.jsonl ends with the result"
            )

    def _move(self, step: int, steps: int, text: str) -> None:
        if self._live is None:
            how = {"bar_format": _LIVE_LINE, "dynamic_ncols": True, "leave": False}
            self._live = tqdm(desc=text, total=steps, initial=step, file=sys.stdout, **how)
        self._live.set_description_str(text, refresh=False)
        self._live.update(step - self._live.n)

    def _print(self, text: str) -> None:
        def write() -> None:
            tqdm.write(text, file=sys.stdout)  # above the moving line
            sys.stdout.flush()

        self._attempt(write)

    def _attempt(self, write: Callable[[], None]) -> None:
        """Calls `write`, unless an earlier call failed."""
        if self.error:
            return
        try:
            write()
        except OSError as error:
            self.error = error
            # Text left in stdout's buffer would fail again as Python ends, and replace the exit code by 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
