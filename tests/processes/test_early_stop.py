"""--early_stop and --best_by: what is written down decides, also after a kill."""

import json
import shutil

import commands
import pytest

from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory

# The rate rises from step 30 on so far that what was learned is lost.
FLAGS = (
    *("--model=softmax", "--optimizer=sgd", "--learning_rate=0.3", "--schedule=piecewise", "--piecewise=30:1000"),
    *("--source=fake:600", "--global_batch=20", "--grad_shards=4", "--intra_op_threads=2", "--steps=90"),
    *("--eval_every=10", "--checkpoint_every=5", "--keep_checkpoints=100", "--eval_batch=30", "--quiet"),
)


def train(path, *more) -> dict:
    return json.loads(commands.succeed("train", *FLAGS, f"--run_dir={path}", *more).splitlines()[-1])


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that --early_stop ended. Not to be changed."""
    path = tmp_path_factory.mktemp("early") / "run"
    train(path, "--early_stop=loss:2", "--best_by=loss", "--keep_checkpoints=1")
    return RunDirectory(path)


def test_a_run_ends_after_as_many_evaluations_without_a_better_score(stopped):
    losses = stopped.history().validation("loss")
    best = min(losses, key=lambda step: (losses[step], step))
    assert 90 > stopped.history().result["step"] == max(losses) == best + 20
    assert stopped.history().result["early_stop"] == "loss:2"
    assert Checkpoints(stopped.checkpoints).steps() == [best, best + 20]
    told = commands.succeed("evaluate", f"--run_dir={stopped.path}", "--checkpoint=best", "--split=validation")
    assert json.loads(told.splitlines()[-1])["loss"] == losses[best]


def test_it_is_finished_until_the_rule_is_another(stopped, tmp_path):
    path = shutil.copytree(stopped.path, tmp_path / "run")
    end = stopped.history().result["step"]
    assert train(path, "--early_stop=loss:2", "--towers=2") == stopped.history().result
    more = train(path, "--early_stop=loss:3", "--towers=2")
    assert (more["step"], more["early_stop"]) == (end + 10, "loss:3")
    assert train(path, "--steps=90")["step"] == 90
    straight = train(tmp_path / "straight")
    assert RunDirectory(path).history().result["parameters_sha256"] == straight["parameters_sha256"]


def test_a_resume_from_any_checkpoint_ends_at_the_same_step(stopped, tmp_path):
    """From checkpoints of a run that was never ended, as a kill after each would leave them."""
    whole = tmp_path / "whole"
    train(whole, f"--steps={stopped.history().result['step']}")
    for last in Checkpoints(whole / "checkpoints").steps()[-5::2]:
        path = shutil.copytree(whole, tmp_path / f"killed-{last}")
        for file in (path / "checkpoints").iterdir():
            if int(file.name.split(".")[0].split("-")[1]) > last:
                file.unlink()
        lines = [line for line in (path / "metrics.jsonl").read_text().splitlines() if '"result"' not in line]
        (path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
        result = train(path, "--early_stop=loss:2", "--towers=2")
        for name in ("step", "early_stop", "parameters_sha256", "test_loss"):
            assert result[name] == stopped.history().result[name], (last, name)


def test_a_metric_decides_alike_after_a_kill(tmp_path):
    """By F1, which is computed besides; the record of the killed run holds what was computed before."""
    rule = ("--metrics=f1,top2", "--early_stop=f1:2", "--best_by=f1", "--keep_checkpoints=1")
    straight = train(tmp_path / "straight", *rule)
    run = RunDirectory(tmp_path / "straight")
    f1 = run.history().validation("f1")
    best = min(f1, key=lambda step: (-f1[step], step))
    assert 90 > straight["step"] == best + 20 and straight["early_stop"] == "f1:2"
    assert Checkpoints(run.checkpoints).steps() == [best, best + 20]
    killed = RunDirectory(tmp_path / "killed")
    train(killed.path, *rule, f"--steps={best + 10}")
    resumed = train(killed.path, *rule, "--towers=2")
    assert {**killed.history().validation("f1")} == f1
    for name in ("step", "early_stop", "parameters_sha256", "test_loss", "test_f1"):
        assert resumed[name] == straight[name]
