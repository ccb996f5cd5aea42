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


# tf.data reads ahead by Python, and a traceback keeps its iterator until Python has taken itself apart.
READING = """
import time
from pipeline.cli import command
from pipeline.errors import PreemptedError
from pipeline.process.startup import import_tensorflow

def main(words):
    import_tensorflow()
    import tensorflow as tf

    reads = []

    def read(number):
        reads.append(number)
        time.sleep(0.3)
        return number

    numbers = tf.data.Dataset.range(1000)
    examples = numbers.map(lambda n: tf.numpy_function(read, [n], tf.int64, stateful=False), num_parallel_calls=2)
    iterator = iter(examples.prefetch(2))
    next(iterator)
    while len(reads) < 2:
        time.sleep(0.01)
    {end}

command.run(main, lambda: None, usage="", positional="WORD")
"""


@pytest.mark.parametrize(
    "end, code, last",
    [
        ("raise PreemptedError('all is saved')", 75, "preempted: all is saved"),
        ("raise ValueError('a mistake of ours')", 1, "ValueError: a mistake of ours"),
        ("print('done')", 0, ""),
    ],
)
def test_a_process_ends_while_examples_are_read(end, code, last):
    script = READING.replace("{end}", end)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (code, "done\n" if code == 0 else "")
    assert ended.stderr.splitlines()[-1:] == ([last] if last else [])


ENDS = """
import atexit
from pipeline.process.exits import without_teardown

with without_teardown():
    atexit.register(print, "a handler that came later")
    print("to the end", end=" ")
    {end}
"""


@pytest.mark.parametrize("end, code", [("pass", 0), ("exit(7)", 7), ("exit()", 0), ("exit('why')", 1), ("1 / 0", 1)])
def test_the_code_and_the_handlers_are_those_of_any_end(end, code):
    ended = subprocess.run([sys.executable, "-c", ENDS.replace("{end}", end)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (code, "to the end a handler that came later\n")
    assert ended.stderr.splitlines()[-1:] == {
        "exit('why')": ["why"],
        "1 / 0": ["ZeroDivisionError: division by zero"],
    }.get(end, [])
