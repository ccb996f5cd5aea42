"""The scores of a split in full: as lines for people, and as one object of JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.engine.tally import Tally
from pipeline.metrics.choosing import LOSS
from pipeline.metrics.counts import worst_pairs
from pipeline.metrics.intervals import Interval
from pipeline.metrics.summary import Metrics
from pipeline.monitoring.journal import plain
from pipeline.text import tables
from pipeline.text.numbers import accuracy

SHOWN_CLASSES, SHOWN_PAIRS = 20, 8
TOLD_PAIRS = 100  # in JSON


def lines(split: str, step: int, tally: Tally, class_names: Sequence[str]) -> list[str]:
    """The scores, the metrics, the classes (of many, the ones of least accuracy), and the most frequent mistakes."""
    scores = tally.scores
    told = [
        f"{split} at step {step}: accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}, {scores.examples} examples; "
        f"{_interval(tally.accuracy_interval)}"
    ]
    if tally.metrics:
        told += [f"  {line}" for line in tables.aligned(averages(tally.metrics), right={1})]
    told += _classes(tally, class_names)
    pairs = worst_pairs(tally.confusion, SHOWN_PAIRS)
    return told + [
        f"  {class_names[p.label]} taken for {class_names[p.predicted]}: {p.examples:,}, {p.share:.2%} of its examples"
        for p in pairs
    ]


def rows(tally: Tally) -> dict[str, str]:
    """The metrics by name, for the table at the end of a run."""
    return {f"test {name}": share(value) for name, value in tally.metrics.values.items()} if tally.metrics else {}


def _interval(interval: Interval) -> str:
    return f"95% interval {accuracy(interval.low)} to {accuracy(interval.high)}"


def averages(metrics: Metrics) -> list[tuple[str, str, str]]:
    """A row for each metric: its name, its one number, and more about it."""
    more = {name: _interval(interval) for name, interval in metrics.intervals.items()}
    for name, averages in metrics.averages.items():
        more[name] = ", ".join(f"{kind} {share(value)}" for kind, value in averages.items() if kind != "macro")
    return [(name, share(value), more.get(name, "")) for name, value in metrics.values.items()]


def share(value: float) -> str:
    """A metric for people; `none` for NaN."""
    return "none" if np.isnan(value) else accuracy(value)


def told(metric: str, value: float) -> str:
    """A metric with its name, for people: 'accuracy 91.20%', 'loss 0.2873', 'f1 88.10%'."""
    return f"{metric} {value:.4f}" if metric == LOSS else f"{metric} {share(value)}"


def _classes(tally: Tally, class_names: Sequence[str]) -> list[str]:
    """A table of the classes that have examples: accuracy, and the metrics that have a value for each class."""
    by_class = tally.by_class(class_names)
    shown = list(by_class)
    if len(by_class) > SHOWN_CLASSES:
        shown = sorted(by_class, key=lambda name: by_class[name])[:SHOWN_CLASSES]
    columns = tally.metrics.by_class if tally.metrics else {}
    number = {name: i for i, name in enumerate(class_names)}
    rows = [(n, accuracy(by_class[n]), *(share(column[number[n]]) for column in columns.values())) for n in shown]
    if columns:
        rows = [("class", "accuracy", *columns), *rows]
    told = [f"  {line}" for line in tables.aligned(rows, right=range(1, len(columns) + 2))]
    if len(by_class) > len(shown):
        told.append(f"  and {len(by_class) - len(shown)} classes with {by_class[shown[-1]]:.2%} or more")
    return told


def as_dict(tally: Tally, class_names: Sequence[str]) -> Mapping[str, Any]:
    """The same values, unrounded and of all classes."""
    pairs = worst_pairs(tally.confusion, TOLD_PAIRS)
    return {
        **tally.scores._asdict(),
        "accuracy_interval": tally.accuracy_interval,
        "accuracy_by_class": tally.by_class(class_names),
        "worst_pairs": [
            {**pair._asdict(), "label": class_names[pair.label], "predicted": class_names[pair.predicted]}
            for pair in pairs
        ],
        **(tally.metrics.as_dict(class_names) if tally.metrics else {}),
    }


def event(split: str, step: int, tally: Tally, class_names: Sequence[str], source: str | None = None) -> dict[str, Any]:
    """These values with what they are of, in types of JSON. source: of the split, where it is not the run's."""
    of = {"event": split, "step": step, **({} if source is None else {"source": source})}
    return plain({**of, **as_dict(tally, class_names)})
