"""Runs that several tests start from; and the mark by which these tests can be left out: -m "not processes"."""

import shutil
from pathlib import Path

import commands
import pytest
import shared
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

    def make(directory: Path) -> None:
        often = ("--eval_every=10", "--eval_batch=30")
        commands.succeed("train", *commands.SMALL, "--towers=2", *often, f"--run_dir={directory}/run")

    return shared.directory(tmp_path_factory, "finished", make) / "run"


@pytest.fixture
def run_copy(finished_run, tmp_path):
    """A copy of that run, to do harm to."""
    return shutil.copytree(finished_run, tmp_path / "run")


def never_stopped(tmp_path_factory, name: str, *flags: str) -> Path:
    """The directory of a run of `trainings.FLAGS`, and of these, that was never stopped."""

    def make(directory: Path) -> None:
        trainings.train(directory / "run", "--towers=2", f"--steps={trainings.STEPS}", *flags)

    return shared.directory(tmp_path_factory, name, make) / "run"


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """A run of `trainings.FLAGS` that was never stopped. Not to be changed."""
    return never_stopped(tmp_path_factory, "straight")


@pytest.fixture(scope="session")
def straight_with_histograms(tmp_path_factory):
    """The same, with histograms. Not to be changed."""
    return never_stopped(tmp_path_factory, "straight-with-histograms", trainings.HISTOGRAMS)


@pytest.fixture
def straight_copy(straight, tmp_path):
    """A copy of that run, to do harm to."""
    return shutil.copytree(straight, tmp_path / "run")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The parameters_sha256 on which a run of `launchers.FLAGS` ends when nothing happens."""

    def make(directory: Path) -> None:
        commands.succeed("train", *launchers.FLAGS, f"--run_dir={directory}/run")

    run = RunDirectory(shared.directory(tmp_path_factory, "undisturbed", make) / "run")
    return run.history().result["parameters_sha256"]
