"""A run's story, from its metrics.jsonl: how it stands, its curves, and its starts with how each ended."""

import dataclasses
from functools import cached_property
from typing import Any

from pipeline.config import Config
from pipeline.runs.run_directory import RunDirectory

Points = list[tuple[int, float]]  # (step, value), steps rising

FINISHED, DIVERGED, PREEMPTED, UNFINISHED = "finished", "diverged", "preempted", "unfinished"
_ENDS = {"result": FINISHED, "diverged": DIVERGED, "preempted": PREEMPTED}


@dataclasses.dataclass(frozen=True)
class Start:
    """One process's part of a run, from its first word to its last."""

    events: tuple[dict[str, Any], ...]  # the first is its "start"

    @property
    def step(self) -> int:
        """Where it began."""
        return self.events[0]["step"]

    @property
    def time(self) -> float:
        """When it began, in Unix seconds."""
        return self.events[0]["time"]

    @property
    def seconds(self) -> float:
        """From its first word to its last."""
        return self.events[-1]["time"] - self.time

    @property
    def end(self) -> dict[str, Any] | None:
        """The event by which it said how it ended; None if it was killed, or runs."""
        return next((event for event in reversed(self.events) if event["event"] in _ENDS), None)


class Chronicle:
    """What a run directory tells of its run, at the moment it is read; the run may be going on."""

    def __init__(self, directory: RunDirectory):
        """Raises StorageError if the directory's files cannot be read."""
        recorded = directory.recorded()
        assert recorded is not None  # RunDirectory.existing saw it
        self.directory = directory
        self.config: Config = recorded
        self.events = directory.events()

    @cached_property
    def starts(self) -> list[Start]:
        """Every start, in order; lines that a resume dropped are in none."""
        starts: list[list[dict[str, Any]]] = []
        for event in self.events:
            if event["event"] == "start":
                starts.append([])
            if starts and event["event"] != "resume":  # which comes just before its start, and belongs to no other
                starts[-1].append(event)
        return [Start(tuple(events)) for events in starts]

    @property
    def status(self) -> str:
        """FINISHED, DIVERGED, PREEMPTED, or UNFINISHED: it runs, was killed, or its --steps were raised."""
        end = self.starts[-1].end if self.starts else None
        if end is None or (end["event"] == "result" and end["step"] < self.config.steps):
            return UNFINISHED
        return _ENDS[end["event"]]

    @property
    def step(self) -> int:
        """The last step of which anything was told."""
        return max((event["step"] for event in self.events), default=0)

    @property
    def result(self) -> dict[str, Any]:
        """The last result line; {} before the first."""
        return next((event for event in reversed(self.events) if event["event"] == "result"), {})

    @property
    def seconds(self) -> float:
        """Time that the starts took together, without what lies between them."""
        return sum(start.seconds for start in self.starts)

    def curve(self, split: str, name: str) -> Points:
        """A value of a split along the steps; where it was no finite number there is no point."""
        told = [(e["step"], e.get(name)) for e in self.events if e["event"] == split]
        return [(step, float(value)) for step, value in told if isinstance(value, int | float)]

    def last(self, split: str, name: str) -> float | None:
        """The newest value of a curve, if there is one."""
        points = self.curve(split, name)
        return points[-1][1] if points else None

    @property
    def time_split(self) -> dict[str, float]:
        """Seconds by phase of the start that finished; {} before the end."""
        return self.result.get("seconds") or {}
