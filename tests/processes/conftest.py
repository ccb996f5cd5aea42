"""Runs that several tests start from; and the mark by which these tests can be left out: -m "not processes"."""

import fcntl
import shutil
from pathlib import Path

import commands
import pytest
import trainings
from cluster import launchers

from pipeline.runs.run_directory import RunDirectory


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("processes")


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


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """A run of `trainings.FLAGS` that was never stopped. Not to be changed."""
    directory = tmp_path_factory.mktemp("straight") / "run"
    trainings.train(directory, "--towers=2", f"--steps={trainings.STEPS}")
    return directory


@pytest.fixture
def straight_copy(straight, tmp_path):
    """A copy of that run, to do harm to."""
    return shutil.copytree(straight, tmp_path / "run")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, worker_id):
    """The parameters_sha256 on which a run of `launchers.FLAGS` ends when nothing happens; one run for all of xdist."""
    here = tmp_path_factory.getbasetemp()
    run = RunDirectory((here if worker_id == "master" else here.parent) / "undisturbed")
    with open(f"{run.path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        commands.run("train", *launchers.FLAGS, f"--run_dir={run.path}")
    return run.history().result["parameters_sha256"]
