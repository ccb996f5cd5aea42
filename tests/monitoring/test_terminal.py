"""What is on stdout, in a file and on a real (pseudo) terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from pipeline.monitoring.terminal import Terminal

STEPS = 40
PROGRAM = f"""
import sys, time
from pipeline.monitoring.terminal import Terminal
terminal = Terminal(quiet="quiet" in sys.argv, verbose="verbose" in sys.argv)
terminal.line("started")
for step in range(10, {STEPS} + 1, 10):
    terminal.move(step, {STEPS}, f"loss 0.{{step}}")
    terminal.milestone(f"step {{step}}")
    terminal.detail(f"norm at {{step}}")
    time.sleep(0.15)  # the line moves ten times a second at most
terminal.line("finished")
terminal.result("the result")
"""


def in_a_file(*levels: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *levels], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.splitlines()


def on_a_terminal(*levels: str) -> str:
    """All that reaches a terminal of 80 columns, control characters included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *levels], stdout=theirs)
    os.close(theirs)
    told = b""
    try:
        while part := os.read(ours, 4096):
            told += part
    except OSError:  # how a terminal ends
        pass
    assert process.wait() == 0
    os.close(ours)
    return told.decode().replace("\r\n", "\n")


def left_standing(told: str) -> list[str]:
    """What is still to be seen once every line was overwritten from its start as often as it was."""
    lines = []
    for line in told.split("\n"):
        seen = ""
        for part in line.split("\r"):
            seen = part + seen[len(part) :]
        lines.append(seen.rstrip())
    return lines


def test_a_file_gets_clean_lines_and_no_line_moves():
    steps = [f"step {step}" for step in (10, 20, 30, 40)]
    assert in_a_file() == ["started", *steps, "finished", "the result"]
    detailed = [line for step in (10, 20, 30, 40) for line in (f"step {step}", f"norm at {step}")]
    assert in_a_file("verbose") == ["started", *detailed, "finished", "the result"]


def test_quiet_leaves_only_the_result():
    assert in_a_file("quiet") == ["the result"]
    assert on_a_terminal("quiet") == "the result\n"


def test_a_terminal_shows_one_line_that_moves_and_nothing_of_it_is_left():
    told = on_a_terminal()
    moving = re.findall(r"step (\d+)/40 (\d+)%  loss 0\.(\d+)  (\S+) left", told)
    assert moving[0][:3] == ("10", "25", "10")
    assert re.fullmatch(r"\d\d:\d\d|\?", moving[0][3])
    assert left_standing(told) == ["started", "finished", "the result", ""]


def test_verbose_lines_stand_above_the_one_that_moves():
    standing = left_standing(on_a_terminal("verbose"))
    assert [line for line in standing if line.startswith("norm")] == [f"norm at {step}" for step in (10, 20, 30, 40)]


def test_without_a_terminal_nothing_moves(capsys):
    Terminal().move(1, 2, "loss")
    assert capsys.readouterr().out == ""
