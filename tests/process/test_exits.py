import subprocess
import sys

import commands
import pytest


@pytest.mark.parametrize(
    "codes, telling", [("0 0", 0), ("0 76", 76), ("76 137 0", 137), ("1 75 76", 75), ("75 64", 64)]
)
def test_the_command_ends_with_the_most_telling_code(codes, telling):
    command = [sys.executable, "-m", "pipeline.process.exits", *codes.split()]
    ended = subprocess.run(command, env=commands.environment(), capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (telling, b"", b"")


KEPT = """
import threading
from pipeline.errors import StorageError
from pipeline.process import standard_error
from pipeline.process.exits import exit_now

with standard_error.kept(), standard_error.kept():
    print("nobody sees this", file=__import__("sys").stderr, flush=True)
    threading.Thread(target=exit_now, args=(StorageError("the disk is gone"),)).start()
    threading.Event().wait()
"""


def test_the_last_line_of_a_process_is_seen_while_its_stderr_is_kept():
    ended = subprocess.run([sys.executable, "-c", KEPT], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (74, "storage: the disk is gone\n")
