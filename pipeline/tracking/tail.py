"""The end of a metrics.jsonl that another thread or process appends to."""

import os
from pathlib import Path

from pipeline.monitoring.history import Line, parse_line
from pipeline.storage.files import storage_errors
from pipeline.storage.reading import open_regular


class Tail:
    """The lines of a file so far, of which each look reads only those that are new."""

    def __init__(self, path: Path):
        self._path = path
        self._forget()

    def _forget(self) -> None:
        self.lines: list[Line] = []
        self._size = 0  # bytes of the lines

    def look(self) -> bool:
        """Adds the new lines; a torn one waits. Returns whether the earlier ones still stand.

        If not, a resume or a rollback has cut the file back, and `lines` holds all that it has now.
        """
        with storage_errors(self._path):
            try:
                file = open_regular(self._path)
            except FileNotFoundError:
                stood = not self.lines
                self._forget()
                return stood
            with file:
                if stands := self._stands(file.fileno()):
                    file.seek(self._size)
                else:
                    self._forget()
                *texts, _torn = file.read().split(b"\n")
        for text in texts:
            self._size += len(text) + 1
            if (event := parse_line(text)) is not None:
                self.lines.append(Line(text, event))
        return stands

    def _stands(self, descriptor: int) -> bool:
        """Whether the last line stands where it stood. No two lines of a run are equal: they have a time."""
        if not self.lines:
            return self._size == 0
        last = self.lines[-1].text + b"\n"
        return os.pread(descriptor, len(last), self._size - len(last)) == last
