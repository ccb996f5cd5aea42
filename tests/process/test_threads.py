"""A thread that a process cannot do without: tried in processes of their own."""

import subprocess
import sys

import commands

FAILS = """
import time
from pipeline.process.threads import start_vital
start_vital(lambda: 1 / 0, "the watch")
time.sleep(60)
"""
ENDS = """
from pipeline.process.threads import start_vital
start_vital(lambda: None, "the watch").join()
print("on")
"""


def run(script: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, text=True, capture_output=True, env=commands.environment(), timeout=50)


def test_a_thread_that_fails_ends_the_process_with_its_reason():
    ended = run(FAILS)
    assert ended.returncode == 1 and "ZeroDivisionError: division by zero" in ended.stderr
    assert ended.stderr.endswith("the thread 'the watch' failed, without which this process would go on unwatched\n")


def test_a_thread_that_comes_to_its_end_ends_nothing():
    ended = run(ENDS)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "on\n", "")
