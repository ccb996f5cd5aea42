"""A run's history, read from metrics.jsonl."""

import json
import math
import os
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.monitoring.history import DIVERGED, FINISHED, PREEMPTED, UNFINISHED, History, finite


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
    assert history(tmp_path, *told).status(20, "") == status


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
    {"event": "start", "time": 1.0, "step": 0},
    {"event": "validation", "time": 1.0, "step": 10, "accuracy": 0.5},
    {"event": "validation", "time": 1.0, "step": 20, "accuracy": 0.75},
    {"event": "validation", "time": 1.0, "step": 30, "accuracy": 0.75},
    {"event": "result", "time": 1.0, "step": 30, "parameters_sha256": "a"},
    {"event": "validation", "time": 1.0, "step": 40, "accuracy": 0.25},
    {"event": "result", "time": 1.0, "step": 40, "parameters_sha256": "b"},
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
    torn = json.dumps({"event": "validation", "time": 1.0, "step": 50, "accuracy": 1.0})
    for cut in range(len(torn)):
        file.write_text(whole + torn[:cut])
        assert History.read(file).events == LINES
    file.write_text(whole + torn + "\n")
    assert len(History.read(file).events) == len(LINES) + 1


def test_the_result_is_the_last_one(file):
    assert History.read(file).result == LINES[-1]
    assert History.read(file.parent / "none").result == {}


@pytest.mark.parametrize(("metric", "best"), [("accuracy", 20), ("loss", 30)])
def test_the_best_step_is_by_the_metric_asked_for(tmp_path, metric, best):
    scores = [(10, 0.5, 2.0), (20, 0.7, 1.5), (30, 0.7, 1.0), (40, 0.6, 1.0), (50, 0.6, None)]
    told = [line("validation", step, 20.0, accuracy=accuracy, loss=loss) for step, accuracy, loss in scores]
    assert history(tmp_path, *told).best_step(range(100), metric) == best


@pytest.mark.parametrize(("metric", "best"), [("f1", 30), ("calibration_error", 20), ("auroc", None)])
def test_a_metric_without_a_number_is_never_the_best(tmp_path, metric, best):
    scores = [(10, {}), (20, {"f1": 0.5, "calibration_error": 0.1}), (30, {"f1": 0.6, "calibration_error": 0.2})]
    scores += [(40, {"f1": None, "calibration_error": "0.0"}), (50, {"f1": 0.6, "auroc": None})]
    told = [line("validation", step, 20.0, accuracy=0.5, loss=None, **values) for step, values in scores]
    assert history(tmp_path, *told).best_step(range(100), metric) == best
    known = history(tmp_path, *told).validations(40)
    assert list(known) == [10, 20, 30, 40] and known[30] == {"accuracy": 0.5, "loss": math.inf, **scores[2][1]}
    assert known[40] == {"accuracy": 0.5, "loss": math.inf}


@pytest.mark.parametrize(
    ("steps", "early_stop", "finished"), [(20, "", True), (30, "", False), (30, "loss:2", True), (30, "loss:3", False)]
)
def test_a_run_that_was_ended_early_is_finished_while_the_rule_is_the_same(tmp_path, steps, early_stop, finished):
    told = history(tmp_path, *FIRST, RESULT | {"early_stop": "loss:2"})
    assert told.finished(steps, early_stop) == finished
    assert told.status(steps, early_stop) == (FINISHED if finished else UNFINISHED)


def test_what_was_told_is_known_by_event_and_step(file):
    assert History.read(file).has("validation", 20)
    assert not History.read(file).has("validation", 25) and not History.read(file).has("test", 20)


@pytest.mark.parametrize(
    "among, best",
    [([10, 20, 30, 40], 20), ([10, 30, 40], 30), ([40, 10], 10), ([40, 50], 40), ([50], None), ([], None)],
)
def test_the_best_step_is_the_first_of_the_most_accurate(file, among, best):
    assert History.read(file).best_step(among, "accuracy") == best


# --- hostile lines ---

HOSTILE = [
    b"[" * 60000,
    b"{}",
    b"[]",
    b"1",
    b"\xff",
    b'{"event": "train"}',
    b'{"event": 1, "step": 1}',
    b'{"event": "train", "step": "1"}',
    b'{"event": "train", "step": 1.5}',
    b'{"event": "train", "step": true}',
    b'{"event": "train", "step": -1}',
    b'{"event": "train", "time": 1, "step": 1, "loss": Infinity}',
    b'{"event": "validation", "time": 1, "step": 1, "accuracy": "0.5"}',
    b'{"event": "validation", "time": 1, "step": 1, "accuracy": [1]}',
    b'{"event": "train", "time": 1, "step": 1, "loss": 1e999}',
    b'{"event": "start", "step": 1, "time": "now"}',
    b'{"event": "result", "time": 1, "step": 1, "seconds": "long"}',
    b'{"event": "train", "step": 1}',
    b'{"event": "train", "step": 1, "time": -1}',
    b'{"event": "train", "step": 1, "time": 1e11}',
    b'{"event": "resume", "step": 1, "time": 1, "of": "\\ud800"}',
    b'{"event": "hardware", "time": 1, "step": 1}',
    b'{"event": "start", "time": 1, "step": 1, "towers": "2"}',
    b'{"event": "start", "time": null, "step": 1}',
    b'{"event": "rollback", "time": 1, "step": 5}',
    b'{"event": "rollback", "time": 1, "step": 5, "diverged": 4}',
    b'{"event": "rollback", "time": 1, "step": 5, "diverged": 9999999999999999999}',
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: str(text)[:40])
def test_a_line_that_is_no_runs_is_left_out_and_named_before_anyone_writes_on(tmp_path, hostile):
    path = tmp_path / "metrics.jsonl"
    good = json.dumps(LINES[1]).encode()
    path.write_bytes(good + b"\n" + hostile + b"\n" + good + b"\n")
    history = History.read(path)
    assert history.events == [LINES[1], LINES[1]]
    with pytest.raises(StorageError, match=r"metrics.jsonl:2: '.*' is not a line of metrics; mend or delete"):
        history.check()


def test_a_number_that_is_not_finite_is_null_and_no_accuracy(tmp_path):
    (tmp_path / "m").write_text('{"event": "validation", "time": 1, "step": 5, "loss": null, "accuracy": null}\n')
    history = History.read(tmp_path / "m")
    history.check()
    assert history.validation("accuracy") == {} and history.best_step([5], "accuracy") is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_told_at_once(tmp_path, make):
    make(tmp_path / "metrics.jsonl")
    with pytest.raises(StorageError, match=r"metrics\.jsonl cannot be read or written: "):
        History.read(tmp_path / "metrics.jsonl")


def test_metrics_that_are_no_finite_numbers_are_left_out_but_the_loss_is_the_worst():
    assert finite({"loss": math.nan, "accuracy": 0.5, "f1": math.nan, "auroc": math.inf, "step": "1"}) == {
        "loss": math.inf,
        "accuracy": 0.5,
    }
    assert finite({"loss": 1}) == {"loss": 1.0}
