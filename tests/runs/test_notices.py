"""--notify tells once how a launch ended, and what fails on the way never costs the run."""

import json
from pathlib import Path

import pytest
from small_run import INTRA_OP_THREADS

from pipeline.config import Config
from pipeline.errors import DivergedError, PeerLostError, PreemptedError
from pipeline.process import messages
from pipeline.process.preemption import Preemption
from pipeline.runs import loop, opening
from pipeline.runs.run_directory import RunDirectory

FLAGS = {
    "source": "fake:60", "model": "models_for_tests:linear", "optimizer": "sgd", "global_batch": 6, "steps": 4,
    "eval_every": 0, "log_every": 0, "eval_batch": 10, "intra_op_threads": INTRA_OP_THREADS, "quiet": True,
}  # fmt: skip


@pytest.fixture
def told(tmp_path):
    """The notices so far."""
    return lambda: [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]


@pytest.fixture
def train(tmp_path):
    def train(work=loop.train, stop=None, notify=f"cat >> {tmp_path}/told; echo >> {tmp_path}/told", **fields) -> Path:
        fields = {"run_dir": str(tmp_path / "run")} | FLAGS | fields
        asked = Config(**fields, notify=notify)
        with opening.opened(asked, stop or Preemption()) as run:
            if run:
                work(run)
        return tmp_path / "run"

    return train


def test_the_end_is_told_once_with_its_result(train, told):
    run_dir = train()
    train()  # finished already
    result = RunDirectory(run_dir).history().result
    [notice] = told()
    assert (notice["event"], notice["exit_code"], notice["step"]) == ("finished", 0, 4)
    assert notice["parameters_sha256"] == result["parameters_sha256"] and notice["run_dir"] == str(run_dir)
    assert notice["text"].endswith(": finished")


def test_errors_are_told_with_their_codes(train, told, tmp_path):
    stop = Preemption()
    stop.ask("somebody")
    with pytest.raises(PreemptedError):
        train(stop=stop)
    with pytest.raises(DivergedError):
        train(learning_rate=1e38, run_dir=str(tmp_path / "other"))
    assert [(n["event"], n["exit_code"]) for n in told()] == [("preempted", 75), ("diverged", 70)]
    assert "is not finite" in told()[1]["message"] and told()[1]["message"] in told()[1]["text"]


def test_a_mistake_of_ours_is_told_too(train, told):
    with pytest.raises(ZeroDivisionError):
        train(work=lambda run: 1 / 0)
    [notice] = told()
    assert (notice["event"], notice["exit_code"], notice["message"]) == (
        "crashed",
        1,
        "ZeroDivisionError: division by zero",
    )


def test_the_watchdogs_reason_is_told_before_it_ends_the_process(train, told):
    """A stall, or a peer that is lost: the watchdog ends the process from its own thread."""
    train(work=lambda run: run.job.watchdog.last_word(PeerLostError("no step for 20 s; behind is worker 1")))
    assert told()[0]["event"] == "peer_lost" and told()[0]["exit_code"] == 76


def test_a_notice_that_fails_is_one_line(train, capfd, monkeypatch):
    monkeypatch.setattr(messages, "PAUSE_S", 0.0)
    train(notify="http://127.0.0.1:9/secret")
    [line] = [line for line in capfd.readouterr().err.splitlines() if "notify" in line]
    assert line.startswith("notify=http://127.0.0.1/… was not told of the end (") and "secret" not in line
