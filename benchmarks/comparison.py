"""Figures of two contenders side by side, and the table of them."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.tables import columns, figure


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A quantity of two contenders, measured in the same rounds."""

    quantity: str  # with its unit
    contender: str
    against: str
    batch: int
    values: Sequence[float]  # one a round
    against_values: Sequence[float]
    goal: str  # for people to read
    less_is_better: bool = False

    @property
    def ratios(self) -> list[float]:
        """Contender / against, for each round: other load of the machine slows both of them."""
        return [value / other for value, other in zip(self.values, self.against_values, strict=True)]

    @property
    def ratio(self) -> float:
        """The rounds' median."""
        return statistics.median(self.ratios)

    def as_dict(self) -> dict[str, Any]:
        """All fields, in types of JSON."""
        return dataclasses.asdict(self) | {"ratios": self.ratios, "ratio": self.ratio}

    def row(self) -> list[str]:
        """Its line in the table: medians, and the ratio's least and largest."""
        ratios = self.ratios
        return [
            self.quantity,
            self.contender,
            self.against,
            str(self.batch),
            figure(statistics.median(self.values)),
            figure(statistics.median(self.against_values)),
            f"{self.ratio:.2f}",
            f"{min(ratios):.2f} - {max(ratios):.2f}",
            self.goal,
        ]


HEADER = ["quantity", "contender", "against", "batch", "its own", "other's", "ratio", "least - most", "goal"]


def table(comparisons: Sequence[Comparison]) -> str:
    """All comparisons, a line each, in columns."""
    return columns(HEADER, [comparison.row() for comparison in comparisons])
