"""A run's story, as metrics.jsonl tells it."""

import json

import pytest

from pipeline.config import Config
from pipeline.runs.chronicle import Chronicle, DIVERGED, FINISHED, PREEMPTED, UNFINISHED
from pipeline.runs.run_directory import RunDirectory


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


def chronicle(directory, *told: dict, torn: str = "", **fields) -> Chronicle:
    run = RunDirectory(directory)
    run.record(Config(steps=20, **fields))
    run.metrics.write_text("".join(json.dumps(event) + "\n" for event in told) + torn)
    return Chronicle(run)


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
    assert chronicle(tmp_path, *told).status == status


def test_starts_end_where_the_next_begins(tmp_path):
    story = chronicle(tmp_path, *FIRST, STOPPED, *AGAIN, RESULT)
    assert [(start.step, start.time) for start in story.starts] == [(0, 10.0), (5, 20.5)]
    assert [start.end and start.end["event"] for start in story.starts] == ["preempted", "result"]
    assert [start.seconds for start in story.starts] == [12.5, 2.5]


def test_time_between_a_kill_and_the_next_start_is_not_counted(tmp_path):
    story = chronicle(tmp_path, *FIRST, *AGAIN)
    assert [start.end for start in story.starts] == [None, None]
    assert [start.seconds for start in story.starts] == [2.5, 1.5]
    assert story.seconds == 4.0


def test_curves_leave_out_what_is_no_number_and_what_a_kill_cut_short(tmp_path):
    story = chronicle(tmp_path, *FIRST, *AGAIN, torn='{"event": "train", "step": 16, "lo')
    assert story.curve("train", "loss") == [(5, 2.0), (15, 1.0)]
    assert story.last("train", "loss") == 1.0 and story.last("validation", "loss") is None
    assert story.step == 15 and story.result == {} and story.time_split == {}


def test_the_split_of_time_is_that_of_the_result(tmp_path):
    assert chronicle(tmp_path, *FIRST, RESULT).time_split == {"compute": 1.5}
