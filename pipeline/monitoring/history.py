"""What a run has told so far: the lines of its metrics.jsonl, read once and kept in memory from then on.

metrics.jsonl holds one JSON object a line: {"event": ..., "step": ..., "time": Unix seconds, ...values}. It is strict
JSON: a value that is no finite number (nan, inf) is null.
"""

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import StorageError
from pipeline.storage.files import storage_errors
from pipeline.storage.reading import parse_json, read_small

Event = dict[str, Any]
Points = list[tuple[int, float]]  # (step, value), steps rising

FINISHED, DIVERGED, PREEMPTED, UNFINISHED = "finished", "diverged", "preempted", "unfinished"
_ENDS = {"result": FINISHED, "diverged": DIVERGED, "preempted": PREEMPTED}

MOST_BYTES = 1 << 33  # of a metrics.jsonl

# Fields that the code computes with, and their types. Of a number null stands for one that is not finite.
_NUMBERS = ("loss", "accuracy", "images_per_second", "test_accuracy", "test_loss", "wall_seconds")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "seconds": (int, float, dict),
    "devices": str,
    "signal": str,
    "towers": int,
    "grad_shards": int,
    "before": (int, dict),
    "now": dict,
    "variables": list,
    "passed_over": list,
    "parameters_sha256": str,
}
_NEEDED = {"hardware": ("before", "now"), "reshard": ("before", "grad_shards")}  # by event; all have a step and a time


@dataclasses.dataclass(frozen=True)
class Launch:
    """One process's part of a run, from its first line to its last."""

    events: tuple[Event, ...]  # the first is its "start"

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
        """From its first line to its last."""
        return self.events[-1]["time"] - self.time

    @property
    def end(self) -> Event | None:
        """The event by which it said how it ended; None if it was killed, or runs."""
        return next((event for event in reversed(self.events) if event["event"] in _ENDS), None)


class Line(NamedTuple):
    """One whole line of metrics.jsonl."""

    text: bytes  # without its end
    event: Event


class History:
    """The lines of a run, in order. Reads the file once; whoever writes to the file adds here too."""

    def __init__(self, lines: Iterable[Line] = (), foreign: str = ""):
        """foreign: the first whole line that is none of a run's, with its number; "" if there is none."""
        self.lines, self.foreign = list(lines), foreign

    @classmethod
    def read(cls, path: Path) -> "History":
        """The history in a file; an empty one where no file is. A part of a line, which a kill leaves, is left out.

        Raises StorageError if the file cannot be read.
        """
        with storage_errors(path):
            try:
                content = read_small(path, MOST_BYTES)
            except FileNotFoundError:
                return cls()
        whole, foreign = [], ""
        *texts, _torn = content.split(b"\n")
        for number, text in enumerate(texts, start=1):
            event = parsed(text)
            if event is not None:
                whole.append(Line(text, event))
            elif not foreign:
                foreign = f"{path}:{number}: '{text[:60].decode(errors='replace')}'"
        return cls(whole, foreign)

    def check(self) -> None:
        """Raises StorageError for a whole line that is none of a run's: whoever writes on would bury it."""
        if self.foreign:
            raise StorageError(
                f"{self.foreign} is not a line of metrics; mend or delete that line, then start the same command again"
            )

    def add(self, line: Line) -> None:
        """Appends a line; for any thread."""
        self.lines.append(line)

    def cut(self, step: int) -> None:
        """Drops the lines of later steps."""
        self.lines = [line for line in self.lines if line.event["step"] <= step]

    @property
    def events(self) -> list[Event]:
        """The objects of the lines."""
        return [line.event for line in self.lines]

    def has(self, event: str, step: int) -> bool:
        """Whether a line of this event and step is there."""
        return any(e["event"] == event and e["step"] == step for e in self.events)

    @property
    def result(self) -> Event:
        """The last result line; {} before the first."""
        return next((event for event in reversed(self.events) if event["event"] == "result"), {})

    def finished(self, steps: int) -> bool:
        """Whether the run came to the end of this many steps."""
        return self.result.get("step", -1) >= steps

    @property
    def step(self) -> int:
        """The last step of which anything was told."""
        return max((event["step"] for event in self.events), default=0)

    @property
    def last_checkpoint(self) -> int:
        """The highest step of which a checkpoint was told; 0 before the first."""
        return max((event["step"] for event in self.events if event["event"] == "checkpoint"), default=0)

    @property
    def launches(self) -> list[Launch]:
        """Every launch, in order; lines that a resume dropped are in none."""
        launches: list[list[Event]] = []
        for event in self.events:
            if event["event"] == "start":
                launches.append([])
            if launches and event["event"] != "resume":  # which comes just before its start, and belongs to no other
                launches[-1].append(event)
        return [Launch(tuple(events)) for events in launches]

    def status(self, steps: int) -> str:
        """FINISHED, DIVERGED, PREEMPTED, or UNFINISHED: it runs, was killed, or its `steps` were raised."""
        launches = self.launches
        end = launches[-1].end if launches else None
        if end is None or (end["event"] == "result" and end["step"] < steps):
            return UNFINISHED
        return _ENDS[end["event"]]

    @property
    def seconds(self) -> float:
        """Time that the launches took together, without the time between them."""
        return sum(launch.seconds for launch in self.launches)

    @property
    def time_split(self) -> dict[str, float]:
        """Seconds by phase of the launch that finished; {} before the end."""
        return self.result.get("seconds") or {}

    def curve(self, split: str, name: str) -> Points:
        """A value of a split along the steps; where it was no finite number there is no point."""
        told = [(e["step"], e.get(name)) for e in self.events if e["event"] == split]
        return [(step, float(value)) for step, value in told if isinstance(value, int | float)]

    def last(self, split: str, name: str) -> float | None:
        """The newest value of a curve, if there is one."""
        points = self.curve(split, name)
        return points[-1][1] if points else None

    @property
    def validation_accuracy(self) -> dict[int, float]:
        """The accuracy on validation at every step that was evaluated."""
        return dict(self.curve("validation", "accuracy"))

    def best_step(self, among: Iterable[int]) -> int | None:
        """Of these steps, the one of the best accuracy on validation (the first of equals), if any was evaluated."""
        accuracy = self.validation_accuracy
        return max((s for s in among if s in accuracy), key=lambda s: (accuracy[s], -s), default=None)


def parsed(text: bytes) -> Event | None:
    """The event of a line; None for bytes that are no line of a run."""
    try:
        event = parse_json(text)
    except ValueError:
        return None
    return event if _is_event(event) else None


def _is_event(event: Any) -> bool:
    """Whether an object has the fields that a line has, and values of the types that the code computes with."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return False
    step, numbers = event.get("step"), [event[name] for name in _NUMBERS if event.get(name) is not None]
    return (
        type(step) is int
        and step >= 0
        and all(_is_number(value) for value in [event.get("time"), *numbers])
        and all(isinstance(event[name], kind) for name, kind in _TYPES.items() if event.get(name) is not None)
        and all(name in event for name in _NEEDED.get(event["event"], ()))
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
