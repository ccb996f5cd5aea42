"""A run's history, read from metrics.jsonl."""

import json
from pathlib import Path

import pytest

from pipeline.monitoring.history import DIVERGED, FINISHED, PREEMPTED, UNFINISHED, History


def line(event: str, step: int, time: float, **values) -> dict:
    return {"event": event, "step": step, "time": time, **values}


FIRST = [line("start", 0, 10.0), line("train", 5, 12.0, loss=2.0), line("checkpoint", 5, 12.5)]
AGAIN = [
    line("resume", 5, 20.0),
    line("start", 5, 20.5),
    line("train", 10, 21.0, loss=None),
    line("train", 15, 22, loss=1),
]
RESULT = line("result", 20, 23.0, seconds={"compute": 1.5})
STOPPED = line("preempted", 15, 22.5, signal="SIGTERM")


def history(directory, *told: dict, torn: str = "") -> History:
    path = directory / "metrics.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in told) + torn)
    return History.read(path)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ([], UNFINISHED),
        (FIRST, UNFINISHED),
        ([*FIRST, STOPPED], PREEMPTED),
        ([*FIRST, STOPPED, *AGAIN], UNFINISHED),
        ([*FIRST, *AGAIN, RESULT], FINISHED),
        ([*FIRST, line("result", 10, 22.0)], UNFINISHED),  # then --steps was raised
        ([*FIRST, line("diverged", 7, 13.0)], DIVERGED),
    ],
)
def test_how_it_stands(told, status, tmp_path):
    assert history(tmp_path, *told).status(20) == status


def test_starts_end_where_the_next_begins(tmp_path):
    story = history(tmp_path, *FIRST, STOPPED, *AGAIN, RESULT)
    assert [(start.step, start.time) for start in story.launches] == [(0, 10.0), (5, 20.5)]
    assert [start.end and start.end["event"] for start in story.launches] == ["preempted", "result"]
    assert [start.seconds for start in story.launches] == [12.5, 2.5]


def test_time_between_a_kill_and_the_next_start_is_not_counted(tmp_path):
    story = history(tmp_path, *FIRST, *AGAIN)
    assert [start.end for start in story.launches] == [None, None]
    assert [start.seconds for start in story.launches] == [2.5, 1.5]
    assert story.seconds == 4.0


def test_curves_leave_out_what_is_no_number_and_what_a_kill_cut_short(tmp_path):
    story = history(tmp_path, *FIRST, *AGAIN, torn='{"event": "train", "step": 16, "lo')
    assert story.curve("train", "loss") == [(5, 2.0), (15, 1.0)]
    assert story.last("train", "loss") == 1.0 and story.last("validation", "loss") is None
    assert story.step == 15 and story.result == {} and story.time_split == {}


def test_the_split_of_time_is_that_of_the_result(tmp_path):
    assert history(tmp_path, *FIRST, RESULT).time_split == {"compute": 1.5}


LINES = [
    {"event": "start", "step": 0},
    {"event": "validation", "step": 10, "accuracy": 0.5},
    {"event": "validation", "step": 20, "accuracy": 0.75},
    {"event": "validation", "step": 30, "accuracy": 0.75},
    {"event": "result", "step": 30, "parameters_sha256": "a"},
    {"event": "validation", "step": 40, "accuracy": 0.25},
    {"event": "result", "step": 40, "parameters_sha256": "b"},
]


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def test_events_are_read_in_order(file):
    assert History.read(file).events == LINES
    assert History.read(file.parent / "none").events == []


def test_a_line_that_a_kill_cut_short_is_left_out(file):
    whole = file.read_text()
    torn = json.dumps({"event": "validation", "step": 50, "accuracy": 1.0})
    for cut in range(len(torn)):
        file.write_text(whole + torn[:cut])
        assert History.read(file).events == LINES
    file.write_text(whole + torn + "\n")
    assert len(History.read(file).events) == len(LINES) + 1


def test_the_result_is_the_last_one(file):
    assert History.read(file).result == LINES[-1]
    assert History.read(file.parent / "none").result == {}


def test_what_was_told_is_known_by_event_and_step(file):
    assert History.read(file).has("validation", 20)
    assert not History.read(file).has("validation", 25) and not History.read(file).has("test", 20)


@pytest.mark.parametrize(
    "among, best",
    [([10, 20, 30, 40], 20), ([10, 30, 40], 30), ([40, 10], 10), ([40, 50], 40), ([50], None), ([], None)],
)
def test_the_best_step_is_the_first_of_the_most_accurate(file, among, best):
    assert History.read(file).best_step(among) == best
