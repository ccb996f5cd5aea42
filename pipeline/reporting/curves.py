"""The curves that the page shows, and the charts that are made of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from pipeline.monitoring.history import History, Points
from pipeline.reporting import charts
from pipeline.reporting.charts import Line, Mark
from pipeline.text.numbers import number, percent


class Entry(NamedTuple):
    """A line of a legend."""

    label: str
    colour: int
    last: str


class Chart(NamedTuple):
    """A chart with its heading."""

    title: str
    svg: Markup
    is_wide: bool
    legend: tuple[Entry, ...]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve that the page shows, and the style of its chart."""

    title: str
    name: str
    splits: tuple[str, ...]
    is_share: bool = False
    may_be_logarithmic: bool = False

    @property
    def form(self) -> Callable[[float], str]:
        """The format of the labels on its axis."""
        return percent if self.is_share else number

    @property
    def is_wide(self) -> bool:
        """Whether two such charts fill a row; else three do."""
        return len(self.splits) > 1

    def chart(
        self, title: str, lines: Sequence[Line], marks: Sequence[Mark] = (), legend: Sequence[Entry] = ()
    ) -> Chart | None:
        """The chart of these lines; None if they have no point."""
        width = charts.WIDE if self.is_wide else charts.NARROW
        svg = charts.curves(title, lines, marks, self.form, self.may_be_logarithmic, width)
        return Chart(title, svg, self.is_wide, tuple(legend)) if svg else None


CURVES = (
    Curve("Loss", "loss", ("train", "validation"), may_be_logarithmic=True),
    Curve("Accuracy", "accuracy", ("train", "validation"), is_share=True),
    Curve("Learning rate", "learning_rate", ("train",)),
    Curve("Gradient norm", "gradient_norm", ("train",), may_be_logarithmic=True),
    Curve("Images per second", "images_per_second", ("train",)),
)


def points(history: History, split: str, name: str) -> Points:
    """The points of a curve that are drawn. Speeds of 0 are left out: a launch's first lines have no measured speed."""
    curve = history.curve(split, name)
    return [(step, value) for step, value in curve if value] if name == "images_per_second" else curve
