"""The lines about a run on stdout: lines that stay and, on a terminal, one that moves."""

import contextlib
import os
import sys
from collections.abc import Iterator

from tqdm import tqdm

from pipeline.errors import StorageError

_LIVE_LINE = "step {n}/{total} {percentage:.0f}%  {desc}  {remaining} left {bar}"


class Terminal:
    """Stdout. quiet: nothing but the result; verbose: details too. Methods raise StorageError where it is full.

    Where it is no terminal (a file, a pipe), no line moves, and what the moving line shows is told by lines that stay.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False):
        self._quiet, self._verbose = quiet, verbose
        self._live: tqdm | None = None

    @property
    def is_live(self) -> bool:
        """Whether `move` is seen."""
        return sys.stdout.isatty() and not self._quiet

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        if not self._quiet:
            self._print(text)

    def still(self, text: str) -> None:
        """Prints a line that repeats what the moving line shows. With a moving line, only --verbose asks for it."""
        if self._verbose or not self.is_live:
            self.line(text)

    def detail(self, text: str) -> None:
        """Prints a line that only --verbose asks for."""
        if self._verbose:
            self.line(text)

    def move(self, step: int, steps: int, text: str) -> None:
        """Shows on the moving line how far the run is: step, share done, the text, the time left."""
        if not self.is_live:
            return
        with _stdout_errors():
            if self._live is None:
                how = {"bar_format": _LIVE_LINE, "dynamic_ncols": True, "leave": False}
                self._live = tqdm(desc=text, total=steps, initial=step, file=sys.stdout, **how)
            self._live.set_description_str(text, refresh=False)
            self._live.update(step - self._live.n)

    def clear(self) -> None:
        """Takes the moving line away."""
        if self._live is not None:
            with _stdout_errors():
                self._live.close()
            self._live = None

    def result(self, line: str) -> None:
        """Prints the last line, whatever else is to be seen."""
        self.clear()
        self._print(line)

    def _print(self, text: str) -> None:
        with _stdout_errors():
            tqdm.write(text, file=sys.stdout)  # above the moving line
            sys.stdout.flush()


@contextlib.contextmanager
def _stdout_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # What stdout still holds would fail again as Python ends, and replace the exit code by 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StorageError(f"stdout cannot be written: {error.strerror}; send it to a file") from error
