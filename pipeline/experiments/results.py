"""Results of runs side by side: the order from best to worst, means and deviations, and tables of them."""

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.experiments.grid import Run
from pipeline.monitoring.history import FINISHED
from pipeline.runs.record import RunRecord
from pipeline.text import tables
from pipeline.text.numbers import accuracy, duration, number

NOT_STARTED = "not started"
NONE = "-"


@dataclasses.dataclass(frozen=True)
class RunResult:
    """How far a run came, and its results; None for a result that it has not told."""

    run: str
    varied: Mapping[str, Any]
    seed: int
    status: str
    step: int = 0
    # The last on validation: of parameters nearer to those that the test split was scored with than its best would be.
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    test_loss: float | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    parameters_sha256: str | None = None

    @classmethod
    def of(cls, run: Run) -> "RunResult":
        """Raises StorageError if its directory cannot be read."""
        record = RunRecord.read(Path(run.config.run_dir))
        if record is None:
            return cls(run.name, run.varied, run.config.seed, NOT_STARTED)
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
        )


class Spread(NamedTuple):
    """Of some numbers: their mean, and the standard deviation of a sample (Bessel's; None of fewer than two)."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """None of no numbers."""
        if not values:
            return None
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def written(self, form: Callable[[float], str]) -> str:
        """'97.90% ± 0.12%'."""
        return form(self.mean) + ("" if self.deviation is None else f" ± {form(self.deviation)}")


def spread(standings: Iterable[RunResult], name: str) -> Spread | None:
    """Of a result, over the runs that finished and told it."""
    values = (getattr(standing, name) for standing in standings if standing.status == FINISHED)
    return Spread.of([value for value in values if value is not None])


def ranked(standings: Sequence[RunResult]) -> list[list[RunResult]]:
    """The runs in groups of the same varied values, the best mean accuracy on validation first, the unscored last."""
    groups = [list(group) for _, group in itertools.groupby(standings, key=lambda standing: dict(standing.varied))]
    scores = [spread(group, "validation_accuracy") for group in groups]
    order = sorted(range(len(groups)), key=lambda i: -s.mean if (s := scores[i]) else 1.0)
    return [groups[i] for i in order]


def are_ranked(groups: Sequence[Sequence[RunResult]]) -> bool:
    """Whether the first of the ranked groups has a score, and so is the best."""
    return spread(groups[0], "validation_accuracy") is not None


COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("validation", "validation_accuracy", accuracy),
    ("test", "test_accuracy", accuracy),
    ("test loss", "test_loss", number),
    ("images/s", "images_per_second", number),
)


def table(standings: Sequence[RunResult]) -> str:
    """A line for each run, in their order."""
    rows = [["run", "step", *(heading for heading, _, _ in COLUMNS), "time", "state"]]
    for standing in standings:
        values = ((getattr(standing, name), form) for _, name, form in COLUMNS)
        cells = [NONE if value is None else form(value) for value, form in values]
        took = NONE if standing.seconds is None else duration(standing.seconds)
        rows.append([standing.run, f"{standing.step:,}", *cells, took, standing.status])
    return _aligned(rows)


def table_of_groups(groups: Sequence[Sequence[RunResult]]) -> str:
    """A line for each group of runs that differ in their seed alone: means and deviations over those that finished."""
    rows = [["runs", "finished", *(heading for heading, _, _ in COLUMNS)]]
    for group in groups:
        spreads = ((spread(group, name), form) for _, name, form in COLUMNS)
        finished = sum(standing.status == FINISHED for standing in group)
        name = str(Path(group[0].run).parent)
        rows.append([name, f"{finished} of {len(group)}", *(s.written(f) if s else NONE for s, f in spreads)])
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lines of columns: the first and the last flush left, the others flush right."""
    return "\n".join(tables.aligned(rows, right=range(1, len(rows[0]) - 1)))
