"""The metrics of a split together: one number each, their averages, and the values of each class."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.metrics import counts as counted
from pipeline.metrics import names
from pipeline.metrics.calibration import Calibration
from pipeline.metrics.counts import Counts, Real
from pipeline.metrics.intervals import Interval, wilson
from pipeline.metrics.ranking import Ranking

MACRO, WEIGHTED, MICRO = "macro", "weighted", "micro"


@dataclasses.dataclass(frozen=True)
class Metrics:
    """The metrics of a split that were asked for. A value that has no meaning there is NaN."""

    examples: int
    counts: Counts
    top: Mapping[str, int]  # by name, as top5: the examples whose label is among the K likeliest classes
    by_class: Mapping[str, Real]  # by name: [classes]
    calibration: Calibration | None

    @property
    def averages(self) -> dict[str, dict[str, float]]:
        """The averages over the classes, by name and kind: macro, weighted by examples, and micro, which counts have.

        As in scikit-learn, macro is over the classes that an example or a prediction has.
        """
        return {
            name: {
                MACRO: counted.macro(values),
                WEIGHTED: counted.weighted(values, self.counts.support),
                **({MICRO: counted.micro(name, self.counts)} if name in names.OF_COUNTS else {}),
            }
            for name, values in self.by_class.items()
        }

    @property
    def values(self) -> dict[str, float]:
        """One number for each metric, in [0, 1]: the share of examples, the macro average, the calibration error."""
        return {
            **{name: hits / self.examples for name, hits in self.top.items()},
            **{name: averages[MACRO] for name, averages in self.averages.items()},
            **({names.CALIBRATION: self.calibration.error} if self.calibration else {}),
        }

    @property
    def intervals(self) -> dict[str, Interval]:
        """The 95 % intervals of the shares of examples."""
        return {name: wilson(hits, self.examples) for name, hits in self.top.items()}

    def of_class(self, number: int) -> dict[str, Any]:
        """A class's metrics and number of examples, with 95 % intervals of recall and precision."""
        right, support = int(self.counts.true_positives[number]), int(self.counts.support[number])
        trials = {"precision": int(self.counts.predicted[number]), "recall": support}
        values: dict[str, Any] = {"examples": support}
        for name, of_classes in self.by_class.items():
            values[name] = float(of_classes[number])
            if trials.get(name):
                values[f"{name}_interval"] = wilson(right, trials[name])
        return values

    def as_dict(self, class_names: Sequence[str]) -> dict[str, Any]:
        """All of it, as nested dictionaries: `metrics` by name, and `by_class` where one has a value for each class."""
        intervals = self.intervals
        top = {n: {"value": hits / self.examples, "interval": intervals[n]} for n, hits in self.top.items()}
        calibration = {names.CALIBRATION: self.calibration.as_dict()} if self.calibration else {}
        by_class = {name: self.of_class(number) for number, name in enumerate(class_names)} if self.by_class else {}
        return {"metrics": {**top, **self.averages, **calibration}, **({"by_class": by_class} if by_class else {})}


def summarize(
    asked: names.Names,
    examples: int,
    counts: Counts,
    rankings: Sequence[Ranking] = (),
    top: Mapping[str, int] | None = None,
    calibration: Calibration | None = None,
) -> Metrics:
    """The metrics that were asked for. rankings: of each class, where one of names.OF_SCORES is asked for."""
    by_class = {name: counted.ratio(name, counts) for name in names.OF_COUNTS if name in asked}
    by_class |= {
        name: np.array([getattr(ranking, name) for ranking in rankings]) for name in names.OF_SCORES if name in asked
    }
    return Metrics(examples, counts, top or {}, by_class, calibration)
