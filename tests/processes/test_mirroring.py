"""Runs with a mirror in a bucket: kills in uploads, a server that fails or does not answer, several workers."""

import signal

import commands
import jobs
import object_server
import pytest
from object_server import BUCKET, EXPIRED, FAILING, Held, until
from trainings import FLAGS, STEPS, assert_equal_runs, train

from pipeline.errors import ExitCode
from pipeline.runs.mirror import layout
from pipeline.runs.run_directory import RunDirectory
from tests.mirror_kills import Trial

ADDRESS = f"s3://{BUCKET}/m"


@pytest.fixture
def server():
    with object_server.serving() as server:
        yield server


def start(server, run_dir, *flags):
    """A training of all steps with a mirror."""
    common = (*FLAGS, f"--steps={STEPS}", f"--run_dir={run_dir}", f"--mirror={ADDRESS}", "--quiet")
    return commands.start("train", *common, *flags, env=server.environment())


def test_kills_in_the_middle_of_uploads_cost_nothing_but_time(server, straight, tmp_path):
    """Twice here; python -m tests.mirror_kills does it twenty times."""
    trial = Trial(server, tmp_path, seed=4, steps=STEPS)
    lines = [
        trial.kill(1, "manifest", which=2, heeded=False, disk="lost"),
        trial.kill(2, "restoring", which=2, heeded=True, disk="kept"),
    ]
    assert trial.newest() > 0 and not any("not reached" in line for line in lines), lines
    assert trial.end() == 0
    assert_equal_runs(trial.run_dir, straight)
    here = {path.name for path in (trial.run_dir / "checkpoints").iterdir()}
    assert {f"checkpoints/{name}" for name in here} == {
        name for name in server.names("run-4") if name.startswith("checkpoints/")
    }


@pytest.mark.parametrize("fault", [FAILING, EXPIRED])
def test_a_server_that_fails_costs_warnings_and_never_the_run(server, straight, tmp_path, fault):
    """It fails from the first checkpoint on, until the run has ended; the same command then sends the rest."""
    held = Held(server, lambda method, path: ".index" in path, 1, heeded=False)
    with start(server, tmp_path / "run", "--mirror_timeout=2") as process:
        until(held.there.is_set)
        server.fault = fault
        held.released.set()
        _, err = process.communicate(timeout=100)
    assert process.returncode == ExitCode.STORAGE, err
    *behind, end = err.splitlines()  # where the run has ended before, the end alone tells of it
    assert all("is behind (" in line and "the run goes on" in line for line in behind) and len(behind) < 2
    assert f"finished here, but mirror={ADDRESS} is not complete ({fault[2]})" in end
    assert_equal_runs(tmp_path / "run", straight)
    server.fault = None
    with start(server, tmp_path / "run") as process:
        _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert layout.steps(server.names("m"))[-3:] == [STEPS - 6, STEPS - 3, STEPS]


def test_a_stop_waits_for_a_server_that_does_not_answer_no_longer_than_its_deadline(server, tmp_path):
    held = Held(server, lambda method, path: "ckpt" in path, 1, heeded=True)
    with start(server, tmp_path / "run", "--steps=1000000", "--preemption_deadline=10") as process:
        until(held.there.is_set)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=25)  # the server answers after 30 s
    held.released.set()
    assert process.returncode == ExitCode.PREEMPTED, err
    missing, end = err.splitlines()
    assert "is not complete (it took too long" in missing and "all of it is saved" in end


def test_the_chief_of_several_workers_mirrors_for_all_and_one_goes_on_elsewhere(straight, tmp_path):
    mirror = f"--mirror={tmp_path / 'mirror'}"
    jobs.train(tmp_path / "run", "--steps=30", mirror, workers=2)
    assert (tmp_path / "mirror" / "logs" / "worker-1.log").exists()
    alone = train(tmp_path / "alone", mirror, f"--steps={STEPS}", "--towers=2")
    assert alone["parameters_sha256"] == RunDirectory(straight).history().result["parameters_sha256"]
