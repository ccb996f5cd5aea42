"""What a training writes for its terminal, as it is shown here."""

import pytest

from pipeline.api import screen
from pipeline.api.screen import Feed, Screen

WRITTEN = "net on fake\n\rstep 1 é █\rstep 2\r     \rstep 20: checkpoint\n\rstep 3\r   \rfinished\n"
RESULT = '{"event": "result", "step": 3}\n'


class Told(Screen):
    def __init__(self):
        self.told = []

    def line(self, text):
        self.told.append(text)

    def move(self, text):
        self.told.append(("moves", text))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_stay_and_what_follows_a_return_moves_however_it_arrives(size):
    shown = Told()
    feed = Feed(shown, quiet=False)
    data = (WRITTEN + RESULT).encode()
    for start in range(0, len(data), size):
        feed.write(data[start : start + size])
    feed.close()
    assert [text for text in shown.told if isinstance(text, str)] == ["net on fake", "step 20: checkpoint", "finished"]
    moves = [text[1] for text in shown.told if not isinstance(text, str)]
    if size == 1:
        assert {"step 1 é █", "step 2", "step 3"} <= set(moves)
    assert moves[-1] == ""


def test_nothing_is_shown_of_a_quiet_one_and_a_line_without_end_is():
    shown = Told()
    Feed(shown, quiet=True).write(f"{WRITTEN}{RESULT}\rstep 4".encode())
    assert shown.told == []
    feed = Feed(shown, quiet=False)
    feed.write(b"Killed")
    feed.close()
    assert shown.told[-2:] == ["Killed", ("moves", "")]


def test_a_terminal_shows_lines_above_the_one_that_moves(capsys):
    terminal = screen.TerminalScreen()
    terminal.line("first")
    terminal.move("step 1")
    terminal.line("second")
    terminal.move("")
    assert capsys.readouterr().out == "first\n\r\033[Kstep 1\r\033[Ksecond\n"


def test_a_pipe_has_no_line_that_moves(capsys):
    here = screen.here()
    here.move("step 1")
    here.line("first")
    assert (type(here), here.columns, capsys.readouterr().out) == (Screen, 0, "first\n")
