"""--on_divergence=rollback: the same steps on any towers, workers and after any stop, each return told once."""

import collections
import itertools
import json
import re
import signal

import commands
import jobs
import numpy as np
import pytest
import trainings

from pipeline import sources
from pipeline.config import Config
from pipeline.engine.plan import Plan
from pipeline.errors import ExitCode
from pipeline.runs.run_directory import RunDirectory

FLAGS = (
    *("--model=models_for_tests:poisoned", "--steps=24", "--checkpoint_every=5", "--keep_checkpoints=1"),
    *("--on_divergence=rollback", "--max_rollbacks=9", "--summary_every=0"),
)


@pytest.fixture(scope="module")
def poison() -> dict[str, str]:
    """The environment in which an example of step 7 makes every step with it diverge."""
    splits = sources.open_splits(Config(source="fake:300"))
    sums = {}
    for name in ("train", "validation", "test"):
        split = getattr(splits, name)
        raw, _ = split.fetch(np.arange(len(split)))
        sums[name] = split.decode(raw, None).numpy().astype(np.int64).sum(axis=(1, 2, 3)).tolist()
    counts = collections.Counter(itertools.chain(*sums.values()))
    plan = Plan(seed=1, global_batch=24, grad_shards=4, num_examples=len(splits.train))
    indices = plan.indices(plan.positions(7, range(4))).numpy()
    return commands.environment(POISON=str(next(n for n in map(sums["train"].__getitem__, indices) if counts[n] == 1)))


def rollbacks(run_dir) -> list[tuple[int, int]]:
    return [(event["step"], event["diverged"]) for event in RunDirectory(run_dir).history().rollbacks]


@pytest.fixture(scope="module")
def straight(poison, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("straight")
    told = commands.succeed("train", *trainings.FLAGS, *FLAGS, f"--run_dir={run_dir}", env=poison)
    assert re.search(rf"^  rollbacks +{len(rollbacks(run_dir))} \(from step ", told, re.MULTILINE)
    return run_dir


def test_each_return_is_to_the_checkpoint_before(straight):
    returns = rollbacks(straight)
    assert len(returns) >= 3
    assert all(step == diverged - diverged % 5 for step, diverged in returns)
    manifest = json.loads(next((straight / "checkpoints").glob("*-24.manifest.json")).read_text())
    assert manifest["rollbacks"] == [list(fields) for fields in returns]


def test_stopped_killed_and_on_other_towers_it_is_the_same_run(straight, poison, tmp_path):
    flags = (*trainings.FLAGS, *FLAGS, f"--run_dir={tmp_path}")
    line = commands.refuse(ExitCode.DIVERGED, "train", *flags, "--checkpoint_every=8", env=poison)
    assert "no checkpoint was due yet; there is no checkpoint up to step 0 to go back to. Lower" in line
    line = commands.refuse(ExitCode.DIVERGED, "train", *flags, "--on_divergence=stop", env=poison)
    assert (
        line.startswith("diverged: at step 7 the loss is nan")
        and "the last good checkpoint is of step 5. Lower" in line
    )
    line = commands.refuse(ExitCode.DIVERGED, "train", *flags, "--max_rollbacks=1", "--towers=2", env=poison)
    assert "; it was rolled back --max_rollbacks=1 times before. Lower" in line
    told = rollbacks(straight)
    assert rollbacks(tmp_path) == told[:1]
    for number, end in ((2, signal.SIGTERM), (3, signal.SIGKILL)):
        with trainings.training(tmp_path, *FLAGS, env=poison) as live:
            assert live.until(lambda number=number: len(rollbacks(tmp_path)) >= number)
            live.send(end)
            assert live.end()[0] in (ExitCode.PREEMPTED, -signal.SIGKILL)
    commands.succeed("train", *flags, "--towers=4", env=poison)
    assert rollbacks(tmp_path) == told
    trainings.assert_equal_runs(tmp_path, straight)


def test_two_workers_go_back_together(straight, poison, tmp_path):
    both = {"env": poison}
    with jobs.job(tmp_path, *FLAGS, workers=2, options={0: both, 1: both}) as job:
        ends = job.ends()
    assert [(code, err) for code, _, err in ends] == [(0, "")] * 2
    trainings.assert_equal_runs(tmp_path, straight)
