"""A stop is asked for by signals, which come at any moment, and by whoever else."""

import os
import signal
import subprocess
import sys
import time
import types

import pytest

from pipeline.process.preemption import SIGNALS, Preemption

# The main thread waits in C, as it does for TensorFlow, where no signal interrupts it: for a lock that it has itself.
BUSY = """
import ctypes, os, signal, sys, threading
from pipeline.process.preemption import Preemption

def look(preemption):
    while not preemption.requested:
        pass
    os.write(1, preemption.reason.encode())
    os._exit(0)

with Preemption.listening() as preemption:
    threading.Thread(target=look, args=(preemption,)).start()
    os.write(1, b"waits\\n")
    libc, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)
"""


@pytest.fixture
def handlers():
    """Puts the handlers of this process back."""
    before, hook = {number: signal.getsignal(number) for number in SIGNALS}, sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_to_ask_counts(handlers):
    with Preemption.listening() as preemption:
        assert (preemption.requested, preemption.reason) == (False, None)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        preemption.ask("a file")
        assert (preemption.requested, preemption.reason) == (True, "SIGUSR1")


def test_no_handler_can_be_interrupted_by_the_next_signal(handlers):
    """One in Python can, and in a storm so can each of those inside of it, up to the limit of recursion."""
    with Preemption.listening():
        assert {type(signal.getsignal(number)) for number in SIGNALS} == {types.BuiltinFunctionType}


def test_the_end_of_the_terminal_asks_for_a_stop_unless_it_was_ignored_at_the_start(handlers):
    with Preemption.listening() as preemption:
        os.kill(os.getpid(), signal.SIGHUP)
        assert preemption.reason == "SIGHUP"
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with Preemption.listening() as preemption:
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN and not preemption.requested


def test_a_file_asks_as_a_signal_does():
    preemption = Preemption()
    preemption.ask("R/stop")
    assert (preemption.requested, preemption.reason) == (True, "R/stop")


def test_other_signals_ask_for_nothing(handlers):
    noted = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: noted.append(number))
    try:
        with Preemption.listening() as preemption:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert noted == [signal.SIGUSR2] and not preemption.requested
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_signal_is_known_to_other_threads_while_the_main_one_waits():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as busy:
        try:
            assert busy.stdout.readline() == "waits\n"
            time.sleep(0.5)  # until it does
            busy.send_signal(signal.SIGTERM)
            assert busy.communicate(timeout=10)[0] == "SIGTERM"
        finally:
            busy.kill()


def test_signals_that_come_after_the_end_do_nothing(handlers):
    with Preemption.listening() as preemption:
        pass
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    assert not preemption.requested


# Ignores the signals again and again, so that some come in the very moment; a late one must not end it either.
IGNORED = """
import os
from pipeline.process.preemption import Preemption

for i in range(1000):
    with Preemption.listening() as preemption:
        if i == 0:
            os.write(1, b"listens\\n")
    os.close(preemption._signals), os.close(preemption._written_at_once)
"""


def test_signals_that_come_as_they_begin_to_be_ignored_do_nothing():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", IGNORED], text=True, **pipes) as storm:
        assert storm.stdout.readline() == "listens\n"
        while storm.poll() is None:
            for number in SIGNALS:
                storm.send_signal(number)
        assert (storm.returncode, storm.stderr.read()) == (0, "")


def test_what_else_python_cannot_raise_is_still_told(handlers, capsys):
    class Broken:
        def __del__(self):
            raise ValueError("broken")

    with Preemption.listening():
        pass
    Broken()
    assert "ValueError: broken" in capsys.readouterr().err


# Another takes SIGTERM over, a thread looks on, and then the signal comes.
TAKEN = """
import os, signal, threading
from pipeline.process.preemption import Preemption, sigterm_held_back

over = threading.Event()
with Preemption.listening() as preemption:
    with sigterm_held_back():
        threading.Thread(target=over.wait).start()
    with preemption.sigterm_retaken():
        signal.signal(signal.SIGTERM, lambda number, frame: print("taken by another"))
        os.kill(os.getpid(), signal.SIGTERM)
    print(preemption.reason)
    over.set()
"""


def test_a_signal_that_comes_while_another_takes_it_over_is_not_lost():
    ended = subprocess.run([sys.executable, "-c", TAKEN], stdout=subprocess.PIPE, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (0, "SIGTERM\n")
