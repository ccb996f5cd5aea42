"""MLflow: a run there for each run here, and a version in its registry for each export.

MLflow's own variables say where and as whom: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, MLFLOW_TRACKING_TOKEN, ….
This file is imported only where --track asks for it.
"""

import socket
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from pipeline.monitoring.history import CORRUPTED, DIVERGED, FINISHED, PREEMPTED, Event
from pipeline.process import environment
from pipeline.tracking.tracker import Point, Tracked, Tracker

KEY = "pipeline.run"  # the tag by which a run is found again
EXPORT = "pipeline.export"  # the tag of a version in the registry: FORMAT/N
STATUS = {FINISHED: "FINISHED", PREEMPTED: "KILLED", DIVERGED: "FAILED", CORRUPTED: "FAILED"}
FACTS = ("test_accuracy", "test_loss", "wall_seconds", "exact", "parameters_sha256", "why")  # of a last line
MOST = 100  # parameters or tags that a server takes at once

# Retries are our caller's. The rest keeps MLflow's words off stdout, which is for the result, and off other hosts.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
for _name, _value in _DEFAULTS.items():
    environment.set_default(_name, _value)

from mlflow.entities import Metric, Param, RunTag  # noqa: E402 (it reads those variables)
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402


def make() -> Tracker:
    """The tracker of the server in MLFLOW_TRACKING_URI."""
    return MlflowTracker()


class MlflowTracker(Tracker):
    """A run in MLflow's tracking server, and its exports in the registry."""

    def __init__(self) -> None:
        self._client = MlflowClient()
        self._id = ""  # of the run there
        self._registered: set[str] = set()  # names of exports

    def open(self, run: Tracked, began: float) -> set[tuple[str, int]]:
        """Finds the run by its key, or makes it."""
        experiment = self._experiment(environment.variables().get("MLFLOW_EXPERIMENT_NAME") or run.project)
        found = self._client.search_runs([experiment], f"tags.`{KEY}` = '{run.key}'", order_by=["start_time"])
        tags = {KEY: run.key, "pipeline.run_dir": str(run.path), "pipeline.host": socket.gethostname()}
        there = found[0] if found else self._client.create_run(experiment, int(1000 * began), tags, run.name)
        self._id = there.info.run_id
        self._describe(run.flags(), there.data.params)
        versions = self._client.search_model_versions(f"run_id = '{self._id}'")
        self._registered = {version.tags.get(EXPORT, "") for version in versions}
        names = list(there.data.metrics)
        return {(name, point.step) for name in names for point in self._client.get_metric_history(self._id, name)}

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return found.experiment_id if found else self._client.create_experiment(name)

    def _describe(self, flags: dict[str, str], there: dict[str, str]) -> None:
        """Sends the flags as parameters. MLflow's never change, so a flag that a later launch changed becomes a tag."""
        new = [Param(name, value) for name, value in flags.items() if name not in there]
        changed = [RunTag(f"changed.{name}", value) for name, value in flags.items() if there.get(name, value) != value]
        for some in _batches(new):
            self._client.log_batch(self._id, params=some)
        for some in _batches(changed):
            self._client.log_batch(self._id, tags=some)

    def send(self, points: Sequence[Point]) -> None:
        """Sends points as metrics; the server takes a batch whole, or not at all."""
        metrics = [Metric(point.name, point.value, int(1000 * point.time), point.step) for point in points]
        self._client.log_batch(self._id, metrics=metrics)

    def tell(self, run: Tracked, status: str, last: Event) -> None:
        """Sets the status; at an end, the facts of the last line as tags, and files as artifacts."""
        if status not in STATUS:
            self._client.update_run(self._id, "RUNNING")
            return
        facts = [RunTag(f"pipeline.{name}", str(last[name])) for name in FACTS if name in last]
        self._client.log_batch(self._id, tags=facts)
        for path in run.files():
            below = path.parent.relative_to(run.path).as_posix()
            self._client.log_artifact(self._id, str(path), None if below == "." else below)
        self._client.set_terminated(self._id, STATUS[status], int(1000 * last["time"]))

    def close(self) -> None:
        """Does nothing: all that was sent is there."""

    def publish(self, run: Tracked) -> None:
        """Sends each new export, then registers it: an export that is registered is whole."""
        for export in run.exports():
            if export.name not in self._registered:
                below = f"exports/{export.name}"
                self._client.log_artifacts(self._id, str(export.path), below)
                source = f"{self._client.get_run(self._id).info.artifact_uri}/{below}"
                self._register(run.project, source, {EXPORT: export.name})
                self._registered.add(export.name)

    def _register(self, name: str, source: str, tags: dict[str, str]) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        self._client.create_model_version(name, source, self._id, tags, await_creation_for=0)


def _batches(items: Iterable[Any]) -> Iterable[list[Any]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, MOST)), [])
