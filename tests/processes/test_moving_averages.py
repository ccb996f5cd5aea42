"""--ema by its commands: a run that goes on, and each command with either of its parameters."""

import json

import commands
import pytest

from pipeline.engine import state
from pipeline.errors import ExitCode
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.saved_run import SavedRun

FLAGS = ("--source=fake:600", "--model=cnn_bn", "--global_batch=20", "--grad_shards=4", "--intra_op_threads=2")
ENDS = ("--checkpoint_every=5", "--eval_every=0", "--decay_steps=10", "--ema=0.9", "--eval_batch=30")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of 10 steps at once, and one in two launches on other towers."""
    whole, parts = (tmp_path_factory.mktemp("ema") / name for name in ("whole", "parts"))
    commands.succeed("train", *FLAGS, *ENDS, "--steps=10", "--quiet", f"--run_dir={whole}")
    for steps, towers in ((5, 2), (10, 4)):
        commands.succeed(
            "train", *FLAGS, *ENDS, f"--steps={steps}", f"--towers={towers}", "--quiet", f"--run_dir={parts}"
        )
    return whole, parts


def test_a_run_in_parts_has_the_averages_of_one_at_once(runs):
    whole, parts = (SavedRun(RunDirectory(path), "raw").restore("latest") for path in runs)
    assert whole.manifest.state_sha256 == parts.manifest.state_sha256
    assert any(name.startswith("ema/") for name in whole.values)


def test_commands_take_the_averages_unless_the_raw_parameters_are_asked_for(runs):
    run = f"--run_dir={runs[0]}"
    result = RunDirectory(runs[0]).history().result
    averages, raw = (
        json.loads(commands.succeed("evaluate", run, "--towers=2", *which).splitlines()[-1])
        for which in ((), ("--parameters=raw",))
    )
    assert averages != raw
    assert averages["loss"] == result["test_loss"]
    hashes = [
        json.loads(commands.succeed("export", run, "--format=keras", *which).splitlines()[-1])["parameters_sha256"]
        for which in ((), ("--parameters=raw",))
    ]
    assert hashes[1] == result["parameters_sha256"] != hashes[0]
    assert hashes[0] == state.parameters_sha256(SavedRun(RunDirectory(runs[0])).restore("latest").values)


def test_averages_of_a_run_without_them_are_refused(finished_run):
    line = commands.refuse(ExitCode.USAGE, "evaluate", f"--run_dir={finished_run}", "--parameters=ema")
    assert line.endswith("was trained without --ema; use --parameters=raw")
