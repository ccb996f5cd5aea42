"""Prometheus' text format, version 0.0.4 (prometheus.io, "Exposition formats"): what a scrape of /metrics returns."""

import dataclasses
from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric, with a value for each set of labels."""

    name: str  # with its unit; a counter's ends with _total
    help: str
    samples: list[tuple[Mapping[str, str], float]]  # (labels, value)

    @property
    def kind(self) -> str:
        """Its type."""
        return "counter" if self.name.endswith("_total") else "gauge"

    def lines(self) -> list[str]:
        """Its lines; none without a sample."""
        if not self.samples:
            return []
        described = [f"# HELP {self.name} {_escaped(self.help)}", f"# TYPE {self.name} {self.kind}"]
        return described + [f"{self.name}{_labels(labels)} {float(value)!r}" for labels, value in self.samples]


def text(metrics: Iterable[Metric]) -> str:
    """The page for a scrape."""
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _labels(labels: Mapping[str, str]) -> str:
    quoted = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return f"{{{quoted}}}" if labels else ""


def _escaped(value: str, quotes: bool = False) -> str:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped
