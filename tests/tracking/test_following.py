"""What is read from a metrics.jsonl that grows, is torn, and is cut back; and which of it may be sent."""

import json

import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.tracking import check, names
from pipeline.tracking.points import points, settled
from pipeline.tracking.tail import Tail
from pipeline.tracking.tracker import Point


def line(step: int, time: float = 1.5, event: str = "train", **values) -> str:
    return json.dumps({"event": event, "step": step, "time": time, **values}) + "\n"


def steps(tail: Tail) -> list[int]:
    return [line.event["step"] for line in tail.lines]


def test_each_look_adds_the_whole_lines_that_are_new(tmp_path):
    path = tmp_path / "metrics.jsonl"
    tail = Tail(path)
    assert tail.look() and steps(tail) == []  # there is no file yet
    path.write_text(line(1) + line(2)[:10])
    assert tail.look() and steps(tail) == [1]
    path.write_text(line(1) + line(2) + "\n" + line(3))  # a line that no run wrote is left out
    assert tail.look() and tail.look() and steps(tail) == [1, 2, 3]


@pytest.mark.parametrize(
    "now",
    [line(1), line(1) + line(2, 2.5), line(1) + line(2, 2.5) + line(3), "", None],
    ids=["shorter", "of equal length", "longer", "empty", "gone"],
)
def test_a_file_that_was_cut_back_is_read_anew(tmp_path, now):
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(1) + line(2))
    tail = Tail(path)
    assert tail.look()
    path.unlink() if now is None else path.write_text(now)
    assert not tail.look()
    assert [found.text.decode() for found in tail.lines] == (now or "").splitlines()
    assert tail.look()


def test_lines_about_splits_make_points_of_what_is_finite():
    event = {"event": "validation", "step": 7, "time": 2.0, "loss": 0.5, "accuracy": None, "whole": True, "why": "x"}
    assert list(points(event)) == [Point("validation/loss", 7, 0.5, 2.0)]
    assert list(points({"event": "checkpoint", "step": 7, "time": 2.0, "seconds": 0.5})) == []


def test_what_a_rollback_may_replace_is_not_settled():
    assert settled(Config(checkpoint_every=10), 27) == 27
    rollback = Config(on_divergence="rollback", checkpoint_every=10)
    assert [settled(rollback, reached) for reached in (9, 10, 27)] == [0, 10, 20]
    assert settled(Config(on_divergence="rollback", checkpoint_every=0), 27) == 0


def test_names_are_known_and_there_once():
    assert names("") == [] and names("wandb,mlflow") == ["wandb", "mlflow"]
    with pytest.raises(UsageError, match="track=mlfow is unknown; did you mean mlflow"):
        names("mlfow")
    with pytest.raises(UsageError, match="track=wandb,wandb names a tracker twice"):
        names("wandb,wandb")


def test_what_a_tracker_needs_is_named_before_a_training(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match=r"in MLFLOW_TRACKING_URI, which is not set; set it: export .*=http://HOST"):
        check("mlflow")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"track=wandb needs wandb, .* pip install 'tower-pipeline\[wandb\]'"):
        check("wandb")
