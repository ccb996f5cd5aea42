"""Standard error, kept for a while: some C libraries say there, and nowhere else, that something is wrong."""

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def kept() -> Iterator[list[str]]:
    """Yields a list that holds, once the block has ended, each line that this process wrote to stderr meanwhile.

    The lines of all threads are kept, also those of C code; none of them appears. Whoever asks for them writes back
    what it does not know.
    """
    lines: list[str] = []
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), 2)
            yield lines
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()
