"""Standard streams that are closed, full or that nobody reads, in small processes without TensorFlow."""

import os
import subprocess
import sys

import commands
import pytest

from pipeline.errors import BadDataError
from pipeline.process import exits, standard_error
from pipeline.sources.listing import printable

TELL = """
import sys
from pipeline.errors import UsageError
from pipeline.process import exits, standard_error
standard_error.tell("passed over")
print("result")
if len(sys.argv) > 1:
    exits.exit_with(UsageError("wrong"))
"""
OPEN = """
import os
from pipeline.process import standard_error
standard_error.open_standard_descriptors()
print(os.open("/dev/null", os.O_RDONLY) > 2)
"""


def run(code, redirections, *arguments, **options):
    """The code in a process of its own, begun by a shell that redirects its streams."""
    words = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-c", code, *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(words, env=commands.environment(), text=True, **options)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ""])
@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("fail",), 64)])
def test_a_stderr_that_takes_nothing_changes_neither_result_nor_exit_code(redirection, arguments, code):
    reading, writing = os.pipe()
    os.close(reading)
    ended = run(TELL, redirection, *arguments, stderr=writing)
    os.close(writing)
    assert (ended.returncode, ended.stdout) == (code, "result\n")


@pytest.mark.parametrize("closed", ["0<&-", "0<&- 2>&-", "2>&-"])
def test_no_file_gets_the_number_of_a_standard_stream(closed):
    assert run(OPEN, closed).stdout == "True\n"


SHOWN = {"röd, 赤 🐝": "röd, 赤 🐝", "\x1b[31m": r"\x1b[31m", "a\u202eb": r"a\u202eb", "\x9b2J": r"\x9b2J"}


@pytest.mark.parametrize(("text", "line"), SHOWN.items())
def test_no_terminal_obeys_what_a_file_holds(text, line, capsys):
    standard_error.tell(f"one {text}\ntwo")
    with pytest.raises(SystemExit):
        exits.exit_with(BadDataError(f"row\n{text}"))
    assert capsys.readouterr().err == f"one {line}\ntwo\nbad data: row {line}\n"
    assert printable(f"{text}\n\udcff") == rf"{line}\n\xff"
