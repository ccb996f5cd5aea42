"""The results of several runs: their ranks, means and deviations, and tables."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.experiments.grid import Run
from pipeline.metrics import choosing
from pipeline.monitoring.history import FINISHED, History, finite
from pipeline.runs.record import RunRecord
from pipeline.text import tables
from pipeline.text.numbers import accuracy, duration, number

NOT_STARTED = "not started"
NONE = "-"


@dataclasses.dataclass(frozen=True)
class RunResult:
    """The status and results of a run; None for a result that it has not reported."""

    run: str
    varied: Mapping[str, Any]
    seed: int
    status: str
    step: int = 0
    validation_accuracy: float | None = None  # the last one, whose parameters are nearest to those of the test
    test_accuracy: float | None = None
    test_loss: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    parameters_sha256: str | None = None
    # Those of --metrics and --best_by, by split, as test_f1; without what has no number.
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ranked_by: str = choosing.ACCURACY  # the metric of --best_by

    @classmethod
    def read(cls, run: Run) -> "RunResult":
        """The result of a run, read from its directory. Raises StorageError if it cannot be read."""
        record = RunRecord.read(Path(run.config.run_dir))
        if record is None:
            return cls(run.name, run.varied, run.config.seed, NOT_STARTED, ranked_by=run.config.best_by)
        history, status = record.history, record.status
        result = history.result if status == FINISHED else {}
        return cls(
            run.name,
            run.varied,
            run.config.seed,
            status,
            history.step,
            validation_accuracy=history.last("validation", "accuracy"),
            test_accuracy=result.get("test_accuracy"),
            test_loss=result.get("test_loss"),
            images_per_second=result.get("images_per_second"),
            seconds=round(history.seconds, 2),
            parameters_sha256=result.get("parameters_sha256"),
            metrics=_metrics(history, status == FINISHED, run.config.best_by),
            ranked_by=run.config.best_by,
        )

    def value(self, name: str) -> float | None:
        """A result by its name, also one of `metrics`."""
        return self.metrics[name] if name in self.metrics else getattr(self, name, None)


def _metrics(history: History, is_finished: bool, ranked_by: str) -> dict[str, float]:
    """The last metrics on validation, and those on test of a finished run: of --metrics and --best_by."""
    own = [field.name for field in dataclasses.fields(RunResult)]
    last = {event["event"]: event for event in history.events if event["event"] in ("validation", "test")}
    named = {
        f"{split}_{metric}": value
        for split in ("validation", *(["test"] if is_finished else []))
        for metric, value in finite(last.get(split, {})).items()
        if metric == ranked_by or (choosing.is_metric(metric) and metric not in choosing.ALWAYS)
    }
    return {name: value for name, value in named.items() if name not in own and math.isfinite(value)}


class Spread(NamedTuple):
    """The mean of some numbers and their sample standard deviation (Bessel's), None for fewer than two numbers."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """The spread of some numbers; None without numbers."""
        if not values:
            return None
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def text(self, form: Callable[[float], str]) -> str:
        """The spread as text, as '97.90% ± 0.12%'."""
        return form(self.mean) + ("" if self.deviation is None else f" ± {form(self.deviation)}")


def spread(runs: Iterable[RunResult], name: str) -> Spread | None:
    """The spread of a result over the finished runs that reported it; None if there is none."""
    values = (run.value(name) for run in runs if run.status == FINISHED)
    return Spread.of([value for value in values if value is not None])


def ranked(runs: Sequence[RunResult]) -> list[list[RunResult]]:
    """The runs in groups of equal varied values: the best mean on validation first, unscored groups last.

    The mean is of the accuracy, or of the metric of --best_by.
    """
    groups = [list(group) for _, group in itertools.groupby(runs, key=lambda run: dict(run.varied))]
    sign = 1 if choosing.better(runs[0].ranked_by) is min else -1
    scores = [_score(group) for group in groups]
    order = sorted(range(len(groups)), key=lambda i: sign * s.mean if (s := scores[i]) else math.inf)
    return [groups[i] for i in order]


def _score(group: Sequence[RunResult]) -> Spread | None:
    return spread(group, f"validation_{group[0].ranked_by}")


def are_ranked(groups: Sequence[Sequence[RunResult]]) -> bool:
    """Whether the first of the ranked groups has a score, and so is the best one."""
    return _score(groups[0]) is not None


Column = tuple[str, str, Callable[[Any], str]]  # heading, name, form

COLUMNS: tuple[Column, ...] = (
    ("validation", "validation_accuracy", accuracy),
    ("test", "test_accuracy", accuracy),
    ("test loss", "test_loss", number),
    ("images/s", "images_per_second", number),
)


def _columns(runs: Sequence[RunResult]) -> tuple[Column, ...]:
    """The columns of a table: with the metric that the runs are ranked by, if it is not the accuracy."""
    metric = runs[0].ranked_by
    if metric == choosing.ACCURACY:
        return COLUMNS
    form = number if metric == choosing.LOSS else accuracy
    own = [(f"{split} {metric}", f"{split}_{metric}", form) for split in ("validation", "test")]
    return tuple(column for column in own if column not in COLUMNS) + COLUMNS


def table(runs: Sequence[RunResult]) -> str:
    """A line for each run, in their order."""
    columns = _columns(runs)
    rows = [["run", "step", *(heading for heading, _, _ in columns), "time", "state"]]
    for run in runs:
        values = ((run.value(name), form) for _, name, form in columns)
        cells = [NONE if value is None else form(value) for value, form in values]
        time = NONE if run.seconds is None else duration(run.seconds)
        rows.append([run.run, f"{run.step:,}", *cells, time, run.status])
    return _aligned(rows)


def table_of_groups(groups: Sequence[Sequence[RunResult]]) -> str:
    """A line for each group of runs that differ only in their seeds: means and deviations over the finished runs."""
    columns = _columns(groups[0])
    rows = [["runs", "finished", *(heading for heading, _, _ in columns)]]
    for group in groups:
        spreads = ((spread(group, name), form) for _, name, form in columns)
        finished = sum(run.status == FINISHED for run in group)
        name = str(Path(group[0].run).parent)
        rows.append([name, f"{finished} of {len(group)}", *(s.text(f) if s else NONE for s, f in spreads)])
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines of columns: the first and last column flush left, the others flush right."""
    return "\n".join(tables.aligned(rows, right=range(1, len(rows[0]) - 1)))
