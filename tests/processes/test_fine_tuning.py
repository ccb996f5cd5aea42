"""Runs that start from another run's parameters, or from a .keras file."""

import json
import shutil
from pathlib import Path

import commands
import numpy as np
import pytest
from pictures import write
from told_run import lines
from trainings import assert_equal_runs, training

from pipeline.errors import ExitCode
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory

TUNED = (*commands.SMALL, "--seed=5", "--optimizer=sgd", "--learning_rate=0")  # ends on what it started from


def parameters(run: Path) -> dict[str, np.ndarray]:
    values = Checkpoints(run / "checkpoints").newest().values
    return {name: value for name, value in values.items() if name.startswith("parameters/")}


def sha256(run: Path) -> str:
    return RunDirectory(run).history().result["parameters_sha256"]


def told_of_import(run: Path) -> dict:
    [told] = [line for line in lines(run) if line["event"] == "import"]
    return told


def test_a_run_starts_from_another_ones_newest_checkpoint(finished_run, tmp_path):
    told = commands.succeed("train", *TUNED, f"--init_from={finished_run}", "--run_dir=run", cwd=tmp_path)
    assert sha256(tmp_path / "run") == sha256(finished_run)
    start = f"starts from ckpt-20 of {finished_run}, {sha256(finished_run)[:16]}: 2 of 2 arrays by name"
    assert start in told.splitlines()
    assert told_of_import(tmp_path / "run")["taken"] == ["parameters/logits/kernel", "parameters/logits/bias"]
    assert f"--init_sha256={sha256(finished_run)}\n" in (tmp_path / "run" / "config.flags").read_text()


def test_an_export_is_a_source_too(finished_run, tmp_path):
    told = commands.succeed("export", f"--run_dir={finished_run}", "--format=keras", "--output=out", cwd=tmp_path)
    path = json.loads(told.splitlines()[-1])["path"]
    commands.succeed("train", *TUNED, f"--init_from={path}", "--run_dir=run", cwd=tmp_path)
    assert sha256(tmp_path / "run") == sha256(finished_run)
    assert told_of_import(tmp_path / "run").items() >= {"how": "by name", "fresh": {}, "unused": []}.items()


def test_a_head_of_other_classes_stays_fresh(finished_run, tmp_path):
    for i, name in enumerate(("left", "middle", "right")):
        for j in range(8):
            write(tmp_path / "images" / name / f"{j}.png", np.full((28, 28, 1), 60 * i + j, np.uint8))
    flags = ("--source=folder:images", "--model=hidden", "--validation_fraction=0.2", "--global_batch=4", "--steps=2")
    commands.succeed("train", *commands.SMALL, "--model=hidden", "--run_dir=ten", cwd=tmp_path)
    commands.succeed("train", *TUNED, *flags, "--init_from=ten", "--run_dir=three", cwd=tmp_path)
    commands.succeed("train", *TUNED, *flags, "--run_dir=fresh", cwd=tmp_path)
    ten, three, fresh = (parameters(tmp_path / name) for name in ("ten", "three", "fresh"))
    assert set(told_of_import(tmp_path / "three")["fresh"]) == {"parameters/logits/kernel", "parameters/logits/bias"}
    for name, value in three.items():
        np.testing.assert_array_equal(value, fresh[name] if "logits" in name else ten[name])


def test_a_resume_needs_the_source_no_more(straight, tmp_path):
    """Killed and resumed after the source was deleted, it ends where a run that was never stopped ends."""
    shutil.copytree(straight, tmp_path / "source")
    flags = (f"--init_from={tmp_path}/source", "--steps=40", "--seed=3")
    with training(tmp_path / "whole", *flags) as live:
        assert live.end()[0] == 0
    with training(tmp_path / "killed", *flags) as live:
        assert live.until_step(10)
    shutil.rmtree(tmp_path / "source")
    with training(tmp_path / "killed", *flags, "--towers=2") as live:
        code, out, _ = live.end()
    assert code == 0 and "starts from" not in out
    assert_equal_runs(tmp_path / "killed", tmp_path / "whole")
    assert len([line for line in lines(tmp_path / "killed") if line["event"] == "import"]) == 1


def test_a_start_at_step_0_finds_the_same_source_or_is_refused(run_copy, tmp_path):
    arguments = (*TUNED, f"--init_from={run_copy}", "--checkpoint_every=0", "--run_dir=tuned")
    commands.succeed("train", *arguments, cwd=tmp_path)
    shutil.rmtree(tmp_path / "tuned" / "checkpoints")  # as if it had been killed before its first one
    (tmp_path / "tuned" / "metrics.jsonl").unlink()
    for path in (run_copy / "checkpoints").glob("ckpt-20.*"):
        path.unlink()
    told = commands.refuse(ExitCode.USAGE, "train", *arguments, cwd=tmp_path)
    assert told.startswith(f"usage: init_from={run_copy} has parameters_sha256 ")
    assert told.endswith("; bring that source back, or use another --run_dir")


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--init_from=nowhere", "usage: init_from=nowhere is no .keras file and holds no run; give FILE.keras, or a"),
        (
            "--init_sha256=12ab",
            "usage: --init_sha256 needs --init_from, which is not given; give both, or leave it out",
        ),
    ],
)
def test_what_nothing_can_start_from(flag, line, tmp_path):
    assert commands.refuse(ExitCode.USAGE, "train", *TUNED, flag, "--run_dir=run", cwd=tmp_path).startswith(line)
    assert commands.contents(tmp_path) == {}


def test_a_resume_with_another_source_is_refused(run_copy):
    told = commands.refuse(
        ExitCode.USAGE, "train", *commands.SMALL, "--steps=30", "--init_from=x", f"--run_dir={run_copy}"
    )
    assert "was started with another configuration (init_from: -> x)" in told
