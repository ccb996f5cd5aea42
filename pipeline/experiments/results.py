"""How runs stand, side by side: each one's results, the order from best to worst, means, and tables of it."""

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.experiments.grid import Run
from pipeline.runs.chronicle import FINISHED, Chronicle
from pipeline.runs.run_directory import RunDirectory
from pipeline.text.numbers import accuracy, duration, number

NOT_STARTED = "not started"
NONE = "-"


@dataclasses.dataclass(frozen=True)
class Standing:
    """What a run has come to; None for what it has not told."""

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
    def of(cls, run: Run) -> "Standing":
        """Raises StorageError if its directory cannot be read."""
        story = chronicle(run)
        if story is None:
            return cls(run.name, run.varied, run.config.seed, NOT_STARTED)
        result = story.result if story.status == FINISHED else {}
        return cls(
            run.name,
            run.varied,
            run.config.seed,
            story.status,
            story.step,
            validation_accuracy=story.last("validation", "accuracy"),
            test_accuracy=result.get("test_accuracy"),
            test_loss=result.get("test_loss"),
            images_per_second=result.get("images_per_second"),
            seconds=round(story.seconds, 2),
            parameters_sha256=result.get("parameters_sha256"),
        )


def chronicle(run: Run) -> Chronicle | None:
    """What a run tells; None if it was never started."""
    directory = RunDirectory(Path(run.config.run_dir))
    return Chronicle(directory) if directory.recorded() else None


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


def spread(standings: Iterable[Standing], name: str) -> Spread | None:
    """Of a result, over the runs that finished and told it."""
    values = (getattr(standing, name) for standing in standings if standing.status == FINISHED)
    return Spread.of([value for value in values if value is not None])


def ranked(standings: Sequence[Standing]) -> list[list[Standing]]:
    """The runs in groups of the same varied values, the best mean accuracy on validation first, the unscored last."""
    groups = [list(group) for _, group in itertools.groupby(standings, key=lambda standing: dict(standing.varied))]
    scores = [spread(group, "validation_accuracy") for group in groups]
    order = sorted(range(len(groups)), key=lambda i: -s.mean if (s := scores[i]) else 1.0)
    return [groups[i] for i in order]


def are_ranked(groups: Sequence[Sequence[Standing]]) -> bool:
    """Whether the first of the ranked groups has a score, and so is the best."""
    return spread(groups[0], "validation_accuracy") is not None


COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("validation", "validation_accuracy", accuracy),
    ("test", "test_accuracy", accuracy),
    ("test loss", "test_loss", number),
    ("images/s", "images_per_second", number),
)


def table(standings: Sequence[Standing]) -> str:
    """A line for each run, in their order."""
    rows = [["run", "step", *(heading for heading, _, _ in COLUMNS), "time", "state"]]
    for standing in standings:
        values = ((getattr(standing, name), form) for _, name, form in COLUMNS)
        cells = [NONE if value is None else form(value) for value, form in values]
        took = NONE if standing.seconds is None else duration(standing.seconds)
        rows.append([standing.run, f"{standing.step:,}", *cells, took, standing.status])
    return aligned(rows)


def table_of_groups(groups: Sequence[Sequence[Standing]]) -> str:
    """A line for each group of runs that differ in their seed alone: means and deviations over those that finished."""
    rows = [["runs", "finished", *(heading for heading, _, _ in COLUMNS)]]
    for group in groups:
        spreads = ((spread(group, name), form) for _, name, form in COLUMNS)
        finished = sum(standing.status == FINISHED for standing in group)
        name = str(Path(group[0].run).parent)
        rows.append([name, f"{finished} of {len(group)}", *(s.written(f) if s else NONE for s, f in spreads)])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lines of columns: the first and the last flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:-1], row[-1]]))
    return "\n".join(lines)
