"""MLflow's server and Weights & Biases' files over kill -9: one run, each step once, and what a run has besides."""

import signal
import time
from pathlib import Path

import commands
import mlflow_server
import pytest
import wandb_files
from trainings import training

from pipeline.config import format_value
from pipeline.monitoring.history import History
from pipeline.runs.run_directory import RunDirectory
from pipeline.tracking.points import points

POLL_S = 0.3
TRACK = "--track=mlflow,wandb"
FOR_EVER = ("--steps=1000000", "--decay_steps=1", "--log_every=100", "--summary_every=0", "--steps_per_loop=1")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with mlflow_server.serving(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(scope="module")
def client(server):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        yield MlflowClient(server)


def the_run(client):
    """The one run that the server has; None without one."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments) if experiments else []
    assert len(runs) < 2
    return runs[0] if runs else None


def sent(client) -> dict[tuple[str, int], list[float]]:
    """Every value that the server has of a name and a step."""
    run, found = the_run(client), {}
    for name in run.data.metrics if run else ():
        for point in client.get_metric_history(run.info.run_id, name):
            found.setdefault((name, point.step), []).append(point.value)
    return found


def last_step(client) -> int:
    """The last step of which the server has a loss; 0 before the first."""
    if (run := the_run(client)) is None:
        return 0
    return max((point.step for point in client.get_metric_history(run.info.run_id, "train/loss")), default=0)


def has_steps(client) -> bool:
    """Whether the server has a step. It is asked now and then, since it has work to do."""
    time.sleep(POLL_S)
    return last_step(client) > 0


def in_history(history: History) -> dict[tuple[str, int], float]:
    return {(point.name, point.step): point.value for event in history.events for point in points(event)}


@pytest.fixture(scope="module")
def killed(server, client, tmp_path_factory):
    """A run, killed after steps that the server has and the next launch computes again; then finished, and exported."""
    run = RunDirectory(tmp_path_factory.mktemp("tracked") / "run")
    environment = commands.environment(MLFLOW_TRACKING_URI=server)
    environment.pop("WANDB_SERVICE", None)
    with training(run.path, *FOR_EVER, TRACK, "--checkpoint_every=0", "--eval_every=0", env=environment) as live:
        assert live.until(lambda: has_steps(client))
        live.send(signal.SIGKILL)
        assert live.end()[0] == -signal.SIGKILL
    to_the_end = (
        *FOR_EVER,
        "--checkpoint_every=0",
        "--eval_every=250",
        "--log_every=20",
        f"--steps={last_step(client) + 100}",
        TRACK,
    )
    with training(run.path, *to_the_end, env=environment) as live:
        code, _, err = live.end()
    # A busy machine may not send hundreds of points in the time that the end waits; the command below sends the rest.
    assert code == 0 and all(line.startswith("track=") for line in err.splitlines())
    commands.succeed("export", f"--run_dir={run.path}")
    said = commands.succeed("track", f"--run_dir={run.path}", TRACK, env=environment)
    assert said == f"{run.path} is up to date in mlflow, wandb\n"
    return run


def test_mlflow_has_one_run_with_each_step_once(killed, client):
    there, here = sent(client), in_history(killed.history())
    assert len(killed.history().launches) == 2
    assert there.keys() == here.keys() and {len(values) for values in there.values()} == {1}
    different = {name for (name, step), [value] in there.items() if value != here[name, step]}
    assert different <= {"train/images_per_second"}


def test_mlflow_has_the_configuration_the_files_and_the_end(killed, client):
    run, config, result = the_run(client), killed.recorded(), killed.history().result
    assert run.info.status == "FINISHED" and run.info.run_name == "run"
    assert run.info.end_time == int(1000 * result["time"])
    assert run.data.params["seed"] == "1" and run.data.params["steps"] == "1000000"
    assert run.data.tags["changed.steps"] == format_value(config.steps) == str(result["step"])
    assert run.data.tags["pipeline.parameters_sha256"] == result["parameters_sha256"]
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {"config.flags", "metrics.jsonl", "placement.txt", "exports"}


def test_the_registry_has_the_export_once_and_whole(killed, client, tmp_path):
    [version] = client.search_model_versions(f"run_id = '{the_run(client).info.run_id}'")
    assert (version.name, version.version) == ("fake_300-models_for_tests_batch_norm", "1")
    assert version.tags == {"pipeline.export": "savedmodel/1"}
    from mlflow.artifacts import download_artifacts

    got = download_artifacts(version.source, dst_path=str(tmp_path), tracking_uri=client.tracking_uri)
    assert commands.contents(Path(got)) == commands.contents(killed.path / "exports" / "savedmodel" / "1")


def test_the_offline_files_have_each_step_once(killed):
    found: dict[tuple[str, int], float] = {}
    steps = [step for step, _ in wandb_files.points(killed.path)]
    for step, values in wandb_files.points(killed.path):
        found |= {(name, step): value for name, value in values.items()}
    assert found == in_history(killed.history()) and steps == sorted(set(steps))
