"""The interface of a tracker, and what it gets of a run."""

import abc
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline import config as configuration
from pipeline.config import Config
from pipeline.monitoring.history import Event


class Point(NamedTuple):
    """A number of a step."""

    name: str  # as validation/accuracy
    step: int
    value: float
    time: float  # Unix seconds


class Export(NamedTuple):
    """A published export of a run."""

    name: str  # FORMAT/N
    path: Path  # its directory


@dataclasses.dataclass(frozen=True)
class Tracked:
    """A run, as its trackers know it."""

    key: str  # a random name, which the run keeps for life
    path: Path
    config: Config  # as recorded

    @property
    def name(self) -> str:
        """The name of the run's directory, for people."""
        return self.path.resolve().name

    @property
    def project(self) -> str:
        """SOURCE-MODEL, for what runs of one kind have in common."""
        return "-".join(re.sub(r"[^\w.]+", "_", word).strip("_") for word in (self.config.source, self.config.model))

    def flags(self) -> dict[str, str]:
        """The recorded flags and their values, as a command line takes them."""
        recorded = (name for name in self.config.__dataclass_fields__ if name not in configuration.OF_ONE_START)
        return {name: configuration.format_value(getattr(self.config, name)) for name in recorded}

    def files(self) -> list[Path]:
        """The files that tell of the run, besides its checkpoints and event files."""
        named = [self.path / name for name in ("config.flags", "metrics.jsonl", "placement.txt", "report.html")]
        return [path for path in (*named, *sorted(self.path.glob("logs/*.log"))) if path.is_file()]

    def exports(self) -> list[Export]:
        """The exports of the run, the oldest of each format first."""
        found = [path for path in self.path.glob("exports/*/*") if path.name.isdecimal() and path.is_dir()]
        found.sort(key=lambda path: (path.parent.name, int(path.name)))
        return [Export(f"{path.parent.name}/{path.name}", path) for path in found]


class Tracker(abc.ABC):
    """A place that shows runs. Its methods raise whatever goes wrong; they are called from one thread.

    After an error `open` comes first again. So nothing is lost, and nothing is there twice.
    """

    @abc.abstractmethod
    def open(self, run: Tracked, began: float) -> set[tuple[str, int]]:
        """Finds the run, or makes it. Returns the names and steps of the points that it has.

        began: when the run began, in Unix seconds.
        """

    @abc.abstractmethod
    def send(self, points: Sequence[Point]) -> None:
        """Adds points that are not there yet, steps rising."""

    @abc.abstractmethod
    def tell(self, run: Tracked, status: str, last: Event) -> None:
        """Shows whether the run goes on, or how its last launch ended; then sends its files, too.

        status: see `History.status`. last: the last line.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Ends, once all is sent, so that `open` may come again. Whoever is killed does not get here."""

    @abc.abstractmethod
    def publish(self, run: Tracked) -> None:
        """Adds the run's exports, as far as they are not there yet."""
