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
