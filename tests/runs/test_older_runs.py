"""Runs that version 0.1.0 made are read and gone on with; tests/data/run-0.1.0 is one of 10 steps, on two towers."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.engine import state
from pipeline.process.preemption import Preemption
from pipeline.runs import loop, opening
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.record import RunRecord

OLDER = Path(__file__).parents[1] / "data" / "run-0.1.0"
FLAGS = {
    "source": "fake:120", "model": "softmax", "optimizer": "momentum", "global_batch": 12, "grad_shards": 4,
    "eval_every": 5, "eval_batch": 10, "intra_op_threads": 2,
}  # fmt: skip


@pytest.fixture
def run_dir(tmp_path) -> Path:
    return shutil.copytree(OLDER, tmp_path / "run")


def test_an_older_run_is_read_whole(run_dir):
    record = RunRecord.read(run_dir)
    assert record.config == Config(**FLAGS, steps=10, decay_steps=10, validation_fraction=0.0833333,
                                   checkpoint_every=5, keep_checkpoints=1, log_every=5, towers=2)  # fmt: skip
    assert (record.status, record.history.step) == ("finished", 10)
    restored = Checkpoints(run_dir / "checkpoints").newest()
    assert state.parameters_sha256(restored.values) == record.history.result["parameters_sha256"]
    assert state.state_sha256(restored.values, 10) == restored.manifest.state_sha256


def test_an_older_run_goes_on(run_dir):
    before = (run_dir / "metrics.jsonl").read_text()
    asked = Config(**FLAGS, steps=20, towers=4, run_dir=str(run_dir), quiet=True)
    with opening.opened(asked, Preemption()) as run:
        assert run.start.step == 10
        assert (
            state.state_sha256(run.trainer.towers.check_equal(10), 10)
            == json.loads((OLDER / "checkpoints" / "ckpt-10.manifest.json").read_text())["state_sha256"]
        )
        loop.train(run)
    history = run.directory.history()
    assert (run_dir / "metrics.jsonl").read_text().startswith(before)
    assert [launch.step for launch in history.launches] == [0, 10]
    assert history.result["step"] == 20 and sorted(history.validation("accuracy")) == [5, 10, 15, 20]
