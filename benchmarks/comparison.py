"""Figures of two contenders side by side, and the table of them."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The same quantity of two contenders in the same rounds."""

    quantity: str  # with its unit
    contender: str
    against: str
    batch: int
    values: Sequence[float]  # one a round
    against_values: Sequence[float]
    goal: str  # for people to read

    @property
    def ratios(self) -> list[float]:
        """Contender / against, of each round: what else slowed the machine in a round slowed both."""
        return [value / other for value, other in zip(self.values, self.against_values, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return dataclasses.asdict(self) | {"ratios": self.ratios, "ratio": statistics.median(self.ratios)}

    def row(self) -> list[str]:
        """Its line in the table: medians, and the ratio's least and largest."""
        ratios = self.ratios
        return [
            self.quantity,
            self.contender,
            self.against,
            str(self.batch),
            _figure(statistics.median(self.values)),
            _figure(statistics.median(self.against_values)),
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} - {max(ratios):.2f}",
            self.goal,
        ]


HEADER = ["quantity", "contender", "against", "batch", "its own", "other's", "ratio", "least - most", "goal"]


def table(comparisons: Sequence[Comparison]) -> str:
    """All comparisons, a line each, in columns."""
    rows = [HEADER, *(comparison.row() for comparison in comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
