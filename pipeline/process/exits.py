"""The one place that ends a process. `python -m pipeline.process.exits CODE...` ends with the most telling of them."""

import atexit
import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn

from pipeline.errors import PipelineError, error_line, most_telling
from pipeline.process import standard_error


@contextlib.contextmanager
def without_teardown() -> Iterator[None]:
    """Ends the process as what happens inside would end it, but before Python takes itself apart.

    Exit handlers that come later are called before. Then Python would end each thread that calls it, even one that
    reads an example for tf.data, and TensorFlow would wait for that example for ever.
    """
    code = 1

    def end() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # its reader has gone, or it was closed
                stream.flush()
        os._exit(code)

    atexit.register(end)
    try:
        yield
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise


def pass_on(code: int) -> NoReturn:
    """Ends this process with the exit code of the one that it stood for."""
    sys.exit(code)


def exit_with(error: PipelineError) -> NoReturn:
    """Ends the process with the error's code and its message as one line on stderr."""
    standard_error.tell(error_line(error.code, str(error)))
    sys.exit(int(error.code))


def exit_now(error: PipelineError) -> NoReturn:
    """Ends the process from any thread, whatever the others are doing or waiting for."""
    standard_error.write_last(f"{error_line(error.code, str(error))}\n")
    os._exit(int(error.code))


def end_child(code: int) -> NoReturn:
    """Ends a forked child at once, without the work that its parent has to do at its own end."""
    os._exit(code)


def crash(reason: str) -> NoReturn:
    """Ends the process with 1 from any thread, inside an `except`: our own mistake, told with its traceback."""
    standard_error.write_last(f"{traceback.format_exc()}{reason}\n")
    os._exit(1)


if __name__ == "__main__":
    pass_on(most_telling([int(code) for code in sys.argv[1:]]))
