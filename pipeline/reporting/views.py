"""The view of one run on the page: its values as text, its curves as charts."""

import dataclasses
import itertools
import re
import time
from functools import cached_property
from typing import Any

from pipeline.config import OF_ONE_START, Config
from pipeline.monitoring.history import UNFINISHED
from pipeline.reporting import charts
from pipeline.reporting.charts import Line, Mark
from pipeline.reporting.curves import CURVES, Chart, Curve, Entry, points
from pipeline.reporting.scored import Scored
from pipeline.runs.record import RunRecord
from pipeline.text.numbers import accuracy, duration, number

NONE = "\N{EN DASH}"
_SUMS = re.compile(r"^  (variables|operations).*?^    together (.*?)$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class RunView:
    """The view of one run. page.html reads its properties."""

    label: str
    colour: int
    record: RunRecord
    scored: Scored | None
    left_out: tuple[str, ...]  # a line for each missing part of the page, with the reason
    placement: str | None  # the text of placement.txt

    @property
    def tiles(self) -> list[tuple[str, str, str]]:
        """The name, value and remark of each figure at the top."""
        history, result = self.record.history, self.record.history.result
        config, launches = self.record.config, history.launches
        towers = launches[-1].events[0].get("towers", 0) if launches else 0
        starts = len(launches)
        return [
            ("Test accuracy", _accuracy(result.get("test_accuracy")), f"loss {_number(result.get('test_loss'))}"),
            ("Validation accuracy", _accuracy(history.last("validation", "accuracy")), self._best()),
            ("Step", f"{history.step:,}", f"of {config.steps:,}, {config.global_batch:,} examples each"),
            ("Time", duration(history.seconds), f"in {starts} starts" if starts != 1 else "in one start"),
            ("Images per second", self.speed, f"{towers} tower{'s' * (towers != 1)}, {config.precision}"),
        ]

    @property
    def speed(self) -> str:
        """Images per second: the result's, or else the last reported value."""
        last = points(self.record.history, "train", "images_per_second")
        return _number(self.record.history.result.get("images_per_second") or (last[-1][1] if last else None))

    def _best(self) -> str:
        curve = self.record.history.curve("validation", "accuracy")
        if not curve:
            return "not scored"
        step, best = max(curve, key=lambda point: (point[1], -point[0]))
        return f"best {accuracy(best)} at step {step:,}"

    @property
    def divergence(self) -> str:
        """A line about the divergence of the run."""
        event = next(e for e in reversed(self.record.history.events) if e["event"] == "diverged")
        variables = ", ".join(event.get("variables") or ["no variable"])
        loss = "not finite" if event.get("loss") is None else number(event["loss"])
        return f"Diverged at step {event['step']:,}: the loss was {loss}; the gradient of {variables} was not finite."

    @property
    def corruption(self) -> str:
        """A line about two towers that computed other bits."""
        event = next(e for e in reversed(self.record.history.events) if e["event"] == "corrupted")
        return f"Stopped by a recheck: {event.get('why', 'two towers computed other bits')}."

    @property
    def _marks(self) -> list[Mark]:
        return [
            Mark(later.step, f"went on at step {later.step:,}, on {_devices(later.events[0])}")
            for later in self.record.history.launches[1:]
        ]

    @property
    def marked(self) -> bool:
        """Whether the charts show restarts."""
        return len(self.record.history.launches) > 1

    @property
    def charts(self) -> list[Chart]:
        """A chart for each curve that has a point."""
        drawn = (self._chart(curve) for curve in CURVES)
        return [chart for chart in drawn if chart]

    def _chart(self, curve: Curve) -> Chart | None:
        lines = [
            Line(
                split, points(self.record.history, split, curve.name), colour, faint=curve.is_wide and split == "train"
            )
            for colour, split in enumerate(curve.splits)
        ]
        form = accuracy if curve.is_share else number
        legend = [Entry(line.label, line.colour, form(line.points[-1][1])) for line in lines if line.points]
        return curve.chart(curve.title, lines, self._marks, legend if curve.is_wide else ())

    @property
    def history(self) -> list[dict[str, Any]]:
        """A row for each launch."""
        starts = self.record.history.launches
        rows = []
        for start, later in itertools.zip_longest(starts, starts[1:]):
            last = later.step if later else max(event["step"] for event in start.events)
            rows.append(
                {
                    "began": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(start.time)),
                    "first": start.step,
                    "last": last,
                    "devices": _devices(start.events[0]),
                    "took": duration(start.seconds),
                    "end": self._end(start.end, is_last=later is None),
                }
            )
        return rows

    def _end(self, end: dict[str, Any] | None, is_last: bool) -> str:
        if end is None and is_last:
            return "runs, or was killed"
        if end is None:
            return "was killed; the steps after its last checkpoint were done again"
        words = {"preempted": f"saved and stopped on {end.get('signal')}", "result": "finished"}
        return words.get(end["event"], end["event"])

    @property
    def time(self) -> dict[str, Any]:
        """The time by phase, as a bar and its legend; {} if the run has not reported it."""
        split = {phase: seconds for phase, seconds in self.record.history.time_split.items() if seconds > 0}
        if not split:
            return {}
        total = sum(split.values())
        phases = [{"name": p, "share": f"{s / total:.0%}", "took": duration(s)} for p, s in split.items()]
        return {"bar": charts.shares("time by phase", split), "phases": phases}

    @property
    def remarks(self) -> list[str]:
        """Lines about other events of the run."""
        lines = []
        for event in self.record.history.events:
            if event["event"] == "reshard":
                lines.append(
                    f"From step {event['step']:,} on: {event['grad_shards']} shards, before {event['before']}."
                )
            if event["event"] == "hardware":
                changed = [name for name, now in event["now"].items() if now != event["before"].get(name, now)]
                lines.append(
                    f"From step {event['step']:,} on: other hardware ({', '.join(changed)}), so other last bits."
                )
            lines += [f"Passed over at step {event['step']:,}: {why}." for why in event.get("passed_over") or ()]
        if self.record.status == UNFINISHED and self.record.history.events:
            heard = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.record.history.events[-1]["time"]))
            lines.append(f"Last heard of at {heard}.")
        return lines

    @property
    def devices(self) -> list[dict[str, str]]:
        """The sums of each device's variables and operations, from placement.txt."""
        rows = []
        for section in re.split(r"\n(?=/job:)", self.placement or "")[1:]:
            sums: dict[str, str] = dict(_SUMS.findall(section))
            variables, num_bytes, *_ = [*sums.get("variables", "").split(), NONE, NONE]
            operations, *_ = [*sums.get("operations", "").split(), NONE]
            name = section.split("\n", 1)[0].rpartition("device:")[2].lower()
            rows.append({"name": name, "variables": variables, "num_bytes": num_bytes, "operations": operations})
        return rows

    @cached_property
    def settings(self) -> dict[str, list[dict[str, Any]]]:
        """The fields of the configuration by topic, each with whether it was changed."""
        by_topic: dict[str, list[dict[str, Any]]] = {}
        for field in dataclasses.fields(Config):
            if field.name not in OF_ONE_START:
                value = getattr(self.record.config, field.name)
                row = {"name": field.name, "value": setting(value), "changed": value != field.default}
                by_topic.setdefault(field.metadata["topic"], []).append(row)
        return by_topic


def setting(value: Any) -> str:
    """A field's value as its flag takes it; a dash for an empty one."""
    return str(value).lower() if isinstance(value, bool) else str(value) or NONE


def _devices(start: dict[str, Any]) -> str:
    towers = start.get("towers", 0)
    return f"{towers} tower{'s' * (towers != 1)}: {start.get('devices', NONE)}"


def _accuracy(value: float | None) -> str:
    return NONE if value is None else accuracy(value)


def _number(value: float | None) -> str:
    return NONE if value is None else number(value)
