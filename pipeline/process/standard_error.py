"""Standard error: written where somebody reads it, or kept for a while.

Some C libraries say there, and nowhere else, that something is wrong.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from pipeline.errors import shown

_descriptor = 2  # of the stderr that its readers see; another one while `kept` has taken its place


@contextlib.contextmanager
def kept() -> Iterator[list[str]]:
    """Yields a list that holds, once the block has ended, each line that this process wrote to stderr meanwhile.

    The lines of all threads are kept, also those of C code; none of them appears. Whoever asks for them writes back
    what it does not know.
    """
    global _descriptor
    lines: list[str] = []
    before, stderr = _descriptor, os.dup(2)
    with tempfile.TemporaryFile() as file:
        try:
            _descriptor = stderr if before == 2 else before
            os.dup2(file.fileno(), 2)
            yield lines
        finally:
            os.dup2(stderr, 2)
            _descriptor = before
            os.close(stderr)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def tell(line: str) -> None:
    """Writes a line to stderr. A stderr that is closed, unread or full loses the line."""
    if sys.stderr is None:  # print would take stdout then
        return
    try:
        print(shown(line), file=sys.stderr, flush=True)
    except OSError:
        # Python would try the rest of its buffer again as it ends, and replace the exit code by 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def write_last(text: str) -> None:
    """Writes to stderr from any thread, also while `kept` holds its lines: the process ends with this.

    It goes past Python's buffers, whose locks another thread may hold.
    """
    with contextlib.suppress(OSError):
        os.write(_descriptor, text.encode())


def open_standard_descriptors() -> None:
    """Opens those of stdin, stdout and stderr that are closed, to nowhere.

    Else the next file that is opened, a checkpoint perhaps, has that number, and gets what C libraries write to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
