"""Several runs side by side: the differences of their configurations, and their results."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config import OF_ONE_START, Config
from pipeline.reporting.charts import Line
from pipeline.reporting.curves import CURVES, Chart, Curve, points
from pipeline.reporting.scales import LOGARITHMIC_FROM
from pipeline.reporting.views import NONE, RunView, setting
from pipeline.text.numbers import accuracy, duration, number

SHA_SHOWN = 8
MOST_BESIDE = 4  # differing fields in the table of results; more than these have a separate table


class Column(NamedTuple):
    """A column of results: its heading, and the function that finds its best value."""

    name: str
    best: Any  # max, min or None


COLUMNS = (
    Column("step", None),
    Column("validation accuracy", max),
    Column("test accuracy", max),
    Column("test loss", min),
    Column("images/s", max),
    Column("time", None),
    Column("parameters", None),
)


def labels(paths: Sequence[Path]) -> list[str]:
    """A name for each run: its path below the runs' common directory."""
    if len(paths) == 1:
        return [paths[0].resolve().name]
    whole = [path.resolve() for path in paths]
    common = os.path.commonpath([path.parent for path in whole])
    return [str(path.relative_to(common)) for path in whole]


class Comparison:
    """The comparison of several runs. page.html reads its properties."""

    def __init__(self, runs: Sequence[RunView]):
        self._runs = runs
        self.columns = [column.name for column in COLUMNS]
        names = [field.name for field in dataclasses.fields(Config) if field.name not in OF_ONE_START]
        values = {name: {getattr(run.record.config, name) for run in runs} for name in names}
        self._differing = [name for name in names if len(values[name]) > 1]
        few = len(self._differing) <= MOST_BESIDE
        self.beside, self.below = (self._differing, []) if few else ([], self._differing)

    @property
    def same(self) -> str:
        """A line about runs that ended on equal parameters; "" if there are none."""
        ended = [sha for run in self._runs if (sha := run.record.history.result.get("parameters_sha256"))]
        twins = len(ended) - len(set(ended))
        if not twins:
            return ""
        who = "All" if len(set(ended)) == 1 else "Some"
        return f"{who} ended on the same parameters, to the bit."

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each run: its values of the differing fields, then its results."""
        table = [_results(run) for run in self._runs]
        best = [
            column.best and column.best(filter(None, results), default=None)
            for column, results in zip(COLUMNS, zip(*table, strict=True), strict=True)
        ]
        forms = (lambda v: f"{v:,}", accuracy, accuracy, number, number, duration, lambda v: v[:SHA_SHOWN])
        return [
            {
                "label": run.label,
                "record": run.record,
                "settings": {name: setting(getattr(run.record.config, name)) for name in self._differing},
                "cells": [
                    {"text": NONE if v is None else form(v), "best": v is not None and v == most}
                    for v, form, most in zip(results, forms, best, strict=True)
                ],
            }
            for run, results in zip(self._runs, table, strict=True)
        ]

    @property
    def charts(self) -> list[Chart]:
        """A chart of all runs for each curve and split. Validation comes first: runs are compared by it."""
        order = [(curve, split) for split in ("validation", "train") for curve in CURVES if split in curve.splits]
        order.sort(key=lambda pair: not pair[0].is_wide)
        charts = (self._chart(curve, split) for curve, split in order)
        return [chart for chart in charts if chart]

    def _chart(self, curve: Curve, split: str) -> Chart | None:
        title = f"{split.capitalize()} {curve.title.lower()}" if curve.is_wide else curve.title
        lines = [Line(run.label, points(run.record.history, split, curve.name), run.colour) for run in self._runs]
        most = [max(value for _, value in line.points) for line in lines if line.points]
        far_apart = bool(most) and max(most) >= LOGARITHMIC_FROM * min(most)
        return dataclasses.replace(curve, may_be_logarithmic=curve.may_be_logarithmic or far_apart).chart(title, lines)


def _results(run: RunView) -> tuple[Any, ...]:
    """The results of a run, in the order of COLUMNS; None for a result that it has not reported."""
    history, result = run.record.history, run.record.history.result
    of_result = (result.get(name) for name in ("test_accuracy", "test_loss", "images_per_second"))
    return (
        history.step,
        history.last("validation", "accuracy"),
        *of_result,
        history.seconds,
        result.get("parameters_sha256"),
    )
