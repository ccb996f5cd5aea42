"""The results of contenders side by side: speeds, ratios to the best peer, shares of the ceiling."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables import columns, figure

MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Result:
    """One contender of a group."""

    name: str
    label: str
    num_devices: int
    is_peer: bool
    images_per_s: Sequence[float] = ()  # one a round; empty if it could not run
    losses: Sequence[float] = ()  # at the end of each round
    num_parameters: int = 0
    peak_bytes: int = 0
    device_peak_bytes: int = 0
    unavailable: str = ""  # why it could not run

    @property
    def speed(self) -> float:
        """The rounds' median, in images/s."""
        return statistics.median(self.images_per_s)

    def ratio_to(self, other: "Result") -> float:
        """The median of the rounds' ratios: other load of the machine slows both contenders of a round."""
        pairs = zip(self.images_per_s, other.images_per_s, strict=True)
        return statistics.median(own / others for own, others in pairs)


@dataclasses.dataclass(frozen=True)
class Group:
    """Contenders that were measured in the same rounds, in one precision and at one global batch."""

    precision: str
    batch: int
    flops_per_example: int
    results: Sequence[Result]
    products_flops_per_s: Mapping[str, Sequence[float]]  # matrix products, by what they went through; one a round
    model: str = "convolutional"
    evaluates: bool = False  # else it trains

    @property
    def ran(self) -> list[Result]:
        """The results with figures, the fastest first."""
        return sorted((r for r in self.results if r.images_per_s), key=lambda r: r.speed, reverse=True)

    @property
    def title(self) -> str:
        """What all of its figures are of."""
        return f"evaluation in {self.precision}" if self.evaluates else self.precision

    def find(self, name: str, num_devices: int = 1) -> Result | None:
        """The result of a contender; None if it has no figures."""
        return next((r for r in self.ran if (r.name, r.num_devices) == (name, num_devices)), None)

    def best_peer(self, num_devices: int = 1) -> Result | None:
        """The fastest peer on this number of devices."""
        return next((r for r in self.ran if r.is_peer and r.num_devices == num_devices), None)

    @property
    def ceiling(self) -> tuple[str, Sequence[float]]:
        """The faster of the matrix products: its library, and the FLOP/s of each round."""
        return max(self.products_flops_per_s.items(), key=lambda item: statistics.median(item[1]))

    def share_of_ceiling(self, result: Result) -> float:
        """The share of the ceiling, in [0, 1], counting only the model's matrix products."""
        assert self.products_flops_per_s
        return result.speed * self.flops_per_example / statistics.median(self.ceiling[1])

    def row(self, result: Result) -> list[str]:
        """Its line in the table."""
        best = self.best_peer(result.num_devices)
        memory = figure(result.peak_bytes / MIB)
        if result.device_peak_bytes:
            memory += f" + {figure(result.device_peak_bytes / MIB)} on GPU"
        has_share = self.products_flops_per_s and result.name not in ("ours_float32", "ours_training")
        of_ceiling = f"{self.share_of_ceiling(result):.0%}" if has_share else ""
        return [
            str(self.batch),
            result.label,
            str(result.num_devices),
            f"{result.speed:,.0f}",
            f"{1000 * self.batch / result.speed:.2f}",
            f"{result.ratio_to(best):.2f}" if best else "",
            of_ceiling,
            memory,
        ]

    def as_dict(self) -> dict[str, Any]:
        """All fields, in types of JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Group":
        """The group that `as_dict` described."""
        return cls(**(values | {"results": [Result(**result) for result in values["results"]]}))


HEADER = ["batch", "contender", "devices", "images/s", "ms/step", "x best peer", "of ceiling", "MiB at the peak"]


def table(groups: Sequence[Group]) -> str:
    """The text of groups of one precision that all train or all evaluate.

    It has the ceiling, a line for each contender, and the reasons of those left out.
    """
    ceilings = [f"{statistics.median(flops) / 1e9:,.0f} through {name}" for name, flops in _products(groups).items()]
    title = f"{groups[0].title}: matrix products at {', '.join(ceilings) or 'unknown'} GFLOP/s"
    rows = [group.row(result) for group in groups for result in group.ran]
    left_out = {f"{r.label}: left out: {r.unavailable}": None for g in groups for r in g.results if r.unavailable}
    return "\n".join([title, columns(HEADER, rows), *left_out])


def _products(groups: Sequence[Group]) -> dict[str, list[float]]:
    """All groups' rounds."""
    names = dict.fromkeys(name for group in groups for name in group.products_flops_per_s)
    return {name: [flops for group in groups for flops in group.products_flops_per_s.get(name, ())] for name in names}
