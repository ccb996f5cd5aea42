"""The history of a run: the lines of its metrics.jsonl, read once and then kept in memory.

metrics.jsonl holds one JSON object a line: {"event": ..., "step": ..., "time": Unix seconds, ...values}. It is strict
JSON: null stands for a number that is not finite (nan, inf).
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config import MOST_WHOLE
from pipeline.errors import StorageError
from pipeline.metrics import choosing
from pipeline.storage.files import storage_errors
from pipeline.storage.reading import parse_json, read_small

Event = dict[str, Any]
Validations = dict[int, dict[str, float]]  # the metrics on validation, by name, at every step that was evaluated
Points = list[tuple[int, float]]  # (step, value), steps rising

FINISHED, DIVERGED, PREEMPTED, UNFINISHED = "finished", "diverged", "preempted", "unfinished"
CORRUPTED = "corrupted"
# The events that end a launch, and the status of a run after each.
ENDS = {"result": FINISHED, "diverged": DIVERGED, "preempted": PREEMPTED, "corrupted": CORRUPTED}

MOST_BYTES = 1 << 33  # of a metrics.jsonl
LATEST = 8e9  # Unix seconds of a line or a save: the year 2223; whatever shows dates can show it

# Fields that the code computes with, and their types. In a number's place null stands for one that is not finite.
_NUMBERS = ("loss", "accuracy", "images_per_second", "test_accuracy", "test_loss", "wall_seconds")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "seconds": (int, float, dict),
    "devices": str,
    "signal": str,
    "early_stop": str,
    "towers": int,
    "grad_shards": int,
    "before": (int, dict),
    "now": dict,
    "variables": list,
    "passed_over": list,
    "diverged": int,
    "withdrawn": list,
    "why": str,
    "parameters_sha256": str,
}
_NEEDED = {
    "hardware": ("before", "now"),
    "reshard": ("before", "grad_shards"),
    "rollback": ("diverged",),
    "corrupted": ("withdrawn",),
}  # by event; all have a step and a time


@dataclasses.dataclass(frozen=True)
class Launch:
    """One process's part of a run, from its first line to its last."""

    events: tuple[Event, ...]  # the first is its "start"

    @property
    def step(self) -> int:
        """The step that it began at."""
        return self.events[0]["step"]

    @property
    def time(self) -> float:
        """The time when it began, in Unix seconds."""
        return self.events[0]["time"]

    @property
    def seconds(self) -> float:
        """The seconds from its first line to its last."""
        return self.events[-1]["time"] - self.time

    @property
    def end(self) -> Event | None:
        """The event that says how it ended; None if it was killed, or runs."""
        return next((event for event in reversed(self.events) if event["event"] in ENDS), None)


class Line(NamedTuple):
    """One whole line of metrics.jsonl."""

    text: bytes  # without its end
    event: Event


class History:
    """The lines of a run, in order. The file is read once; a writer of the file adds each line here too."""

    def __init__(self, lines: Iterable[Line] = (), foreign: str = ""):
        """foreign: the first whole line that no run wrote, with its number; "" if there is none."""
        self.lines, self.foreign = list(lines), foreign

    @classmethod
    def read(cls, path: Path) -> "History":
        """The history in a file; empty if there is no file. A torn last line, which a kill leaves, is left out.

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
            event = parse_line(text)
            if event is not None:
                whole.append(Line(text, event))
            elif not foreign:
                foreign = f"{path}:{number}: '{text[:60].decode(errors='replace')}'"
        return cls(whole, foreign)

    def check(self) -> None:
        """Raises StorageError if there is a whole line that no run wrote: further lines would bury it."""
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
        """Whether there is a line of this event and step."""
        return any(e["event"] == event and e["step"] == step for e in self.events)

    @property
    def result(self) -> Event:
        """The last result line; {} before the first."""
        return next((event for event in reversed(self.events) if event["event"] == "result"), {})

    def finished(self, steps: int, early_stop: str) -> bool:
        """Whether the run finished this number of steps, or was ended by this value of --early_stop."""
        return bool(self.result) and _finishes(self.result, steps, early_stop)

    @property
    def step(self) -> int:
        """The last step that a line is about."""
        return max((event["step"] for event in self.events), default=0)

    @property
    def last_checkpoint(self) -> int:
        """The highest step with a checkpoint line; 0 before the first."""
        return max((event["step"] for event in self.events if event["event"] == "checkpoint"), default=0)

    @property
    def withdrawn(self) -> list[int]:
        """The steps of checkpoints that the last launch set aside, if it ended because two computations differed."""
        last = self.events[-1] if self.lines else None
        return last["withdrawn"] if last and last["event"] == "corrupted" else []

    @property
    def last_recheck(self) -> int | None:
        """The step after the last one whose recheck found no difference; None before the first."""
        return max((event["step"] for event in self.events if event["event"] == "recheck"), default=None)

    @property
    def rollbacks(self) -> list[Event]:
        """The rollback lines: each has the step returned to, and in `diverged` the one that diverged."""
        return [event for event in self.events if event["event"] == "rollback"]

    @property
    def launches(self) -> list[Launch]:
        """Every launch, in order, without the lines that a resume dropped."""
        launches: list[list[Event]] = []
        for event in self.events:
            if event["event"] == "start":
                launches.append([])
            if launches and event["event"] != "resume":  # it comes just before a start, and is no part of the last one
                launches[-1].append(event)
        return [Launch(tuple(events)) for events in launches]

    def status(self, steps: int, early_stop: str) -> str:
        """FINISHED, DIVERGED, CORRUPTED, PREEMPTED, or UNFINISHED: it runs, was killed, or its `steps` were raised.

        early_stop: the present value of --early_stop; a run that another value ended is unfinished.
        """
        launches = self.launches
        end = launches[-1].end if launches else None
        if end is None or (end["event"] == "result" and not _finishes(end, steps, early_stop)):
            return UNFINISHED
        return ENDS[end["event"]]

    @property
    def seconds(self) -> float:
        """The time of all launches, without the time between them."""
        return sum(launch.seconds for launch in self.launches)

    @property
    def time_split(self) -> dict[str, float]:
        """The seconds of the launch that finished, by phase; {} before the end."""
        return self.result.get("seconds") or {}

    def curve(self, split: str, name: str) -> Points:
        """A value of a split at each step that reported it. A value that was not finite makes no point."""
        values = [(e["step"], e.get(name)) for e in self.events if e["event"] == split]
        return [(step, float(value)) for step, value in values if isinstance(value, int | float)]

    def last(self, split: str, name: str) -> float | None:
        """The last value of a curve; None if it has no point."""
        points = self.curve(split, name)
        return points[-1][1] if points else None

    def validation(self, metric: str) -> dict[int, float]:
        """A metric on the validation split at every step where it was finite."""
        return dict(self.curve("validation", metric))

    def best_step(self, among: Iterable[int], metric: str) -> int | None:
        """The step of the best score on validation among these, the first of equals; None if none was evaluated."""
        scores = self.validation(metric)
        return best_step({step: scores[step] for step in among if step in scores}, metric)

    def validations(self, last: int) -> Validations:
        """The finite metrics of every evaluation on validation up to a step; a loss that is not finite is infinite."""
        told = [event for event in self.events if event["event"] == "validation" and event["step"] <= last]
        metrics = {event["step"]: {n: v for n, v in event.items() if choosing.is_metric(n)} for event in told}
        return {step: finite(values) for step, values in metrics.items() if values.get("accuracy") is not None}


def best_step(scores: Mapping[int, float], metric: str) -> int | None:
    """The step of the best score, the first of equals; None without a score that is a number."""
    known = {step: score for step, score in sorted(scores.items()) if not math.isnan(score)}
    return choosing.better(metric)(known, key=lambda step: known[step], default=None)


def finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are finite numbers, with a loss that is not as infinity: it is the worst one."""
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    known = {name: value for name, value in numbers.items() if math.isfinite(value)}
    return {choosing.LOSS: math.inf, **known}


def _finishes(result: Event, steps: int, early_stop: str) -> bool:
    return result["step"] >= steps or (bool(early_stop) and result.get("early_stop") == early_stop)


def parse_line(text: bytes) -> Event | None:
    """The event of a line; None for bytes that no run wrote."""
    try:
        event = parse_json(text)
    except ValueError:
        return None
    return event if _is_event(event) else None


def _is_event(event: Any) -> bool:
    """Whether an object has the fields of a line, with values of the right types."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return False
    step, numbers = event.get("step"), [event[name] for name in _NUMBERS if event.get(name) is not None]
    return (
        type(step) is int
        and step >= 0
        and all(_is_number(value) for value in [event.get("time"), *numbers])
        and 0 <= event["time"] <= LATEST
        and all(isinstance(event[name], kind) for name, kind in _TYPES.items() if event.get(name) is not None)
        and all(name in event for name in _NEEDED.get(event["event"], ()))
        and (event["event"] != "rollback" or _is_step(event["diverged"], least=step))
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_step(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= MOST_WHOLE
