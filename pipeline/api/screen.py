"""What a training in another process shows here: lines that stay, and one line that moves.

The training writes for a terminal of its own (see monitoring/terminal.py): what follows a carriage return moves, what
ends with a line feed stays.
"""

import codecs
import json
import re
import shutil
import sys
from typing import Any

_NOTEBOOK_COLUMNS = 100


class Screen:
    """The lines in a file or a pipe: nothing moves."""

    columns = 0  # of the line that moves; 0: there is none

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        print(text, flush=True)

    def move(self, text: str) -> None:
        """Shows a text in place of the line that moves; "" removes it."""


class TerminalScreen(Screen):
    """A terminal."""

    def __init__(self) -> None:
        self.columns = shutil.get_terminal_size().columns
        self._moving = False

    def line(self, text: str) -> None:
        self.move("")
        super().line(text)

    def move(self, text: str) -> None:
        if text or self._moving:
            print(f"\r\033[K{text}", end="", flush=True)
        self._moving = bool(text)


class NotebookScreen(Screen):
    """A notebook: the line that moves is an output of its own, which is replaced."""

    columns = _NOTEBOOK_COLUMNS

    def __init__(self) -> None:
        self._handle: Any = None

    def move(self, text: str) -> None:
        if self._handle is None and text:
            from IPython.display import display

            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        elif self._handle is not None:
            self._handle.update({"text/plain": text}, raw=True)


def here() -> Screen:
    """The screen of this process's stdout."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is not None:
        return NotebookScreen()
    return TerminalScreen() if sys.stdout is not None and sys.stdout.isatty() else Screen()


class Feed:
    """Takes what a training writes, in pieces, to a screen. Its last line, the result in JSON, is left out."""

    def __init__(self, screen: Screen, quiet: bool):
        self._screen, self._quiet = screen, quiet
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line, self._moves = "", False

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        for piece in re.split(r"([\r\n])", self._decoder.decode(data)):
            if piece == "\n":
                self._end_line()
            elif piece == "\r":
                self._line, self._moves = "", True
            else:
                self._line += piece
        if self._moves and not self._quiet:
            self._screen.move(self._line.strip())

    def close(self) -> None:
        """Ends the line that has no end yet, and removes the one that moves."""
        if self._line.strip() and not self._moves:
            self._end_line()
        self._screen.move("")

    def _end_line(self) -> None:
        text, self._line, self._moves = self._line.rstrip(), "", False
        if not self._quiet and not _is_result(text):
            self._screen.move("")
            self._screen.line(text)


def _is_result(text: str) -> bool:
    try:
        return text.startswith('{"event": "result"') and isinstance(json.loads(text), dict)
    except ValueError:
        return False
