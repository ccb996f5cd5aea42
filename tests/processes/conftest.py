"""Runs that several tests start from."""

import shutil

import commands
import pytest


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A finished run of the small configuration on two towers, with checkpoints 10 and 20. Not to be changed."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    commands.succeed(
        "train", *commands.SMALL, "--towers=2", "--eval_every=10", "--eval_batch=30", f"--run_dir={directory}"
    )
    return directory


@pytest.fixture
def run_copy(finished_run, tmp_path):
    """A copy of that run, to do harm to."""
    return shutil.copytree(finished_run, tmp_path / "run")
