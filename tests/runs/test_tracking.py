"""Weights & Biases' own files, and trackers that refuse or are away: each step once, and never at the run's cost."""

import json
import socket

import object_server
import pytest
import wandb
import wandb_files
from small_run import INTRA_OP_THREADS

from pipeline.config import Config
from pipeline.errors import StorageError
from pipeline.process.preemption import Preemption
from pipeline.runs import loop, naming, opening, tracking
from pipeline.runs.mirror import layout
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.tracking import Tracking
from pipeline.tracking.points import points

FLAGS = {
    "source": "fake:60", "model": "models_for_tests:linear", "optimizer": "sgd", "global_batch": 6, "steps": 4,
    "eval_every": 2, "log_every": 1, "eval_batch": 10, "intra_op_threads": INTRA_OP_THREADS, "quiet": True,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _service():
    """Ends wandb's own process, and its word in the environment, after these tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("WANDB_SERVICE", raising=False)
        yield
        wandb.teardown()
    # teardown leaves no variable that another process would take for its own
    assert "WANDB_SERVICE" not in __import__("os").environ


def train(run_dir, work=loop.train, **fields) -> RunDirectory:
    with opening.opened(Config(**(FLAGS | fields), run_dir=str(run_dir)), Preemption()) as run:
        if run:
            work(run)
    return RunDirectory(run_dir)


def offline(directory: RunDirectory, steps: int) -> list[tuple[int, dict[str, float]]]:
    """The numbers in the offline files, once they have this many steps: another process writes them."""
    object_server.until(lambda: len(wandb_files.points(directory.path)) >= steps)
    return wandb_files.points(directory.path)


def expected(directory: RunDirectory) -> list[tuple[int, dict[str, float]]]:
    """The numbers in metrics.jsonl, by step."""
    found: dict[int, dict[str, float]] = {}
    for event in directory.history().events:
        for point in points(event):
            assert point.name not in found.setdefault(point.step, {})
            found[point.step][point.name] = point.value
    return sorted(found.items())


def test_a_run_in_several_launches_is_one_whole_run_offline(tmp_path):
    """The second launch begins anew from step 0: the first one was lost before its checkpoint."""

    def fail(run):
        run.journal.scalars("train", 2, {"loss": 1e9})
        object_server.until(lambda: list(run.directory.path.glob("wandb/offline-run-*/*.wandb")))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "run", fail, track="wandb")
    name = naming.read(tmp_path / "run" / "tracking.json", "track")
    directory = train(tmp_path / "run", track="wandb")
    assert offline(directory, 4) == expected(directory)
    assert [step for step, _ in expected(directory)] == [1, 2, 3, 4]
    assert wandb_files.settings(directory.path)["steps"] == "4"
    assert naming.read(directory.tracking, "track") == name and list(directory.path.glob(f"wandb/*-{name}"))


def test_the_run_is_the_same_with_and_without_and_can_be_tracked_later(tmp_path):
    before = train(tmp_path / "before")
    during = train(tmp_path / "during", track="wandb")
    hashes = {directory.history().result["parameters_sha256"] for directory in (before, during)}
    assert len(hashes) == 1 and not before.tracking.exists()
    for _ in range(2):
        Tracking(before, "wandb").complete()
        assert offline(before, 4) == expected(before)


def test_what_a_rollback_replaces_was_never_sent(tmp_path):
    directory = train(tmp_path / "run", work=lambda run: None, on_divergence="rollback", checkpoint_every=4)
    start = directory.metrics.read_text()

    def told(*losses: float, last: str = "") -> None:
        lines = [{"event": "train", "step": s, "time": float(s), "loss": x} for s, x in enumerate(losses, start=1)]
        directory.metrics.write_text(start + "".join(json.dumps(line) + "\n" for line in lines) + last)

    track = Tracking(directory, "wandb")
    told(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    track.complete()
    assert [step for step, _ in offline(directory, 4)] == [1, 2, 3, 4]
    result = {"event": "result", "step": 6, "time": 9.0}
    told(1.0, 2.0, 3.0, 4.0, 50.0, 60.0, last=json.dumps(result) + "\n")
    track.complete()
    assert [values["train/loss"] for _, values in offline(directory, 6)] == [1, 2, 3, 4, 50, 60]


def test_a_run_is_tracked_by_one_process_at_a_time(tmp_path):
    def second(run):
        object_server.until(lambda: list(run.directory.path.glob("wandb/*")))
        with pytest.raises(StorageError, match=r"another process tracks run_dir=.*; wait for its end"):
            Tracking(run.directory, "wandb").complete()
        loop.train(run)

    directory = train(tmp_path / "run", second, track="wandb")
    assert offline(directory, 4) == expected(directory)
    Tracking(directory, "wandb").complete()  # it is free again


def test_the_name_of_a_run_goes_into_its_mirror_and_damage_to_it_is_told(tmp_path):
    assert layout.is_mirrored("tracking.json")
    directory = train(tmp_path / "run")
    directory.tracking.write_text("{}")
    with pytest.raises(StorageError, match=r"tracking.json is damaged .* or leave --track out"):
        train(directory.path, track="wandb", steps=8)


@pytest.mark.parametrize("answers", [True, False], ids=["a server that never answers", "no server"])
def test_a_tracker_that_is_away_costs_a_line_and_nothing_else(tmp_path, monkeypatch, capfd, answers):
    monkeypatch.setattr(tracking, "END_S", 1.0)
    monkeypatch.setattr(tracking, "PAUSE_S", 0.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not answers:
            server.close()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        directory = train(tmp_path / "run", track="mlflow")
        lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("track=mlflow")]
        assert directory.history().result["step"] == 4
        assert lines[-1].startswith("track=mlflow is not complete (")
        assert lines[-1].endswith(f"python -m pipeline.track --run_dir={directory.path} --track=… sends the rest")
        with pytest.raises(StorageError, match=r"track=mlflow is not complete .*; the same command sends the rest"):
            Tracking(directory, "mlflow").complete()
