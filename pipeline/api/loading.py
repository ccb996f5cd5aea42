"""`pipeline.load`: a run on disk, read from Python."""

import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.api.arguments import Value
from pipeline.api.evaluation import evaluate, require_split
from pipeline.api.prediction import Predictor
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.monitoring.history import FINISHED, Event
from pipeline.runs import manifests
from pipeline.runs.record import RunRecord
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage.files import storage_errors
from pipeline.text.numbers import accuracy

if TYPE_CHECKING:
    import os

    import pandas


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run, as its manifest describes it. Its files were not read."""

    step: int
    saved: datetime.datetime  # in UTC
    num_bytes: int
    parameters_sha256: str


class Run:
    """A run on disk. Every attribute is read when it is asked for: the run may still be going on."""

    def __init__(self, directory: RunDirectory, trust_code: bool):
        """See `load`."""
        self._directory, self._trust_code = directory, trust_code

    @property
    def run_dir(self) -> Path:
        """The run directory."""
        return self._directory.path

    @property
    def config(self) -> Config:
        """The recorded configuration: every flag's value is an attribute."""
        return self._record.config

    @property
    def status(self) -> str:
        """finished, diverged, corrupted, preempted, or unfinished."""
        return self._record.status

    @property
    def result(self) -> dict[str, Any]:
        """The result: test_accuracy, test_loss, parameters_sha256, images_per_second, …; empty before the end."""
        return dict(self._record.history.result)

    @property
    def events(self) -> list[Event]:
        """The lines of metrics.jsonl, in order; docs/monitoring.md lists them."""
        return [dict(event) for event in self._record.history.events]

    def history(self, split: str = "train") -> "pandas.DataFrame":
        """The values of a split (train, validation, test) by step, a row for each line of metrics.jsonl.

        Raises UsageError for another split, and where pandas is not installed: `events` needs none.
        """
        require_split(split)
        try:
            import pandas
        except ImportError:
            raise UsageError("history() needs pandas; pip install pandas, or use .events, a list") from None
        rows = [event for event in self._record.history.events if event["event"] == split]
        frame = pandas.DataFrame(rows, columns=list(dict.fromkeys(name for row in rows for name in row)) or ["step"])
        if rows:
            frame["time"] = pandas.to_datetime(frame["time"], unit="s", utc=True)
        return frame.drop(columns="event", errors="ignore").set_index("step")

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints with a manifest, in order. Raises StorageError if one is damaged."""
        directory = self._directory.checkpoints
        with storage_errors(directory):
            names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
        steps = sorted(step for name in names if (step := manifests.step_of(name)) is not None)
        return [self._checkpoint(step) for step in steps]

    def _checkpoint(self, step: int) -> Checkpoint:
        manifest = manifests.read(self._directory.checkpoints, step)
        saved = datetime.datetime.fromtimestamp(manifest.saved, datetime.timezone.utc)
        return Checkpoint(step, saved, manifest.num_bytes, manifest.parameters_sha256)

    def predictor(
        self,
        checkpoint: str | int = "latest",
        *,
        parameters: str | None = None,
        towers: int = 0,
        tower_devices: str = "",
    ) -> Predictor:
        """The model with the parameters of a checkpoint, in this process; imports TensorFlow.

        checkpoint: latest, best (on validation), or a step. parameters: ema or raw; None for ema where the run has it.
        towers, tower_devices: as the flags. Raises UsageError, StorageError.
        """
        execution = {"towers": towers, "tower_devices": tower_devices}
        return Predictor(self._directory, str(checkpoint), parameters, execution, self._trust_code)

    def evaluate(
        self,
        split: str = "test",
        checkpoint: str | int = "latest",
        *,
        parameters: str | None = None,
        **flags: Value,
    ) -> dict[str, Any]:
        """The scores of a checkpoint on a split, as the JSON of `python -m pipeline.evaluate`; imports TensorFlow.

        split: test, validation or train. checkpoint, parameters: as `predictor` takes them. flags: those of the
        command by name: source, record_image_key and record_label_key for other data; metrics, as "top5,f1" or "all";
        towers, tower_devices, data_dir, eval_batch. Every example counts once. Raises UsageError, StorageError, and
        BadDataError for examples that do not fit the model.
        """
        return evaluate(self._directory, split, str(checkpoint), parameters, flags, self._trust_code)

    @property
    def _record(self) -> RunRecord:
        record = RunRecord.read(self._directory.path)
        if record is None:
            raise UsageError(f"run_dir={self._directory.path} holds no run any more; bring its config.flags back")
        return record

    def __repr__(self) -> str:
        record = self._record
        found = record.history.result.get("test_accuracy") if record.status == FINISHED else None
        scored = "" if found is None else f", test accuracy {accuracy(found)}"
        return f"<Run {self.run_dir}: {record.status} at step {record.history.step}{scored}>"


def load(run_dir: "str | os.PathLike[str]", *, trust_code: bool = False) -> Run:
    """The run in a directory. Nothing is imported or computed before it is asked for.

    trust_code: whether `predictor` and `evaluate` may run the model's source text that lies in the run directory, if
    the model was a function of a script or a notebook. Whoever can write there can then do what you can.

    Raises UsageError if the directory holds no run.
    """
    return Run(RunDirectory.existing(str(run_dir)), trust_code)
