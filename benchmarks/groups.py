"""Measures the contenders of ROSTER, a group for each precision and batch."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.budget import Budget
from benchmarks.facts import Facts
from benchmarks.results import Group, Result
from benchmarks.roster import ONE, PRODUCTS, ROSTER, SEVERAL, TRAINING, Entry
from benchmarks.rounds import Measured, measured
from benchmarks.task import Task

NO_PYTORCH = "PyTorch is not there; `bash benchmarks/peers_venv.sh` installs it"
ON_CPU, ON_GPU = (10_000, 4096, 5), (200_000, 8192, 200)  # images, rows of square matrices, products: of a round
# The same of a unit, many of which may make a round. A unit of the large model is the least there is.
UNIT_ON_CPU, UNIT_ON_GPU = (1000, 1024, 5), (100_000, 8192, 10)
LARGE_MODELS = ("resnet50",)
TIMEOUT_S = 180  # for a start and for a round, where there is a budget


@dataclasses.dataclass(frozen=True)
class Measure:
    """The measurements to make, and their length."""

    facts: Facts
    pytorch: str  # its version; '' where it is not there
    contenders: Sequence[str]  # names of ROSTER
    num_devices: int  # for contenders that use several; 1 for none of those
    devices_batch: int  # the one batch at which those run
    one: bool  # whether contenders on one device run
    rounds: int
    images: int  # of a round, or with a budget of a unit, about; 0 for what fits the device
    budget: Budget | None = None  # with one, contenders start together and rounds last as long as it says
    together: int = 0  # the most contenders that are there at a time, and so share the memory; 0: all

    def group(self, base: Task) -> Group | None:
        """All contenders of the base's precision, at its batch and on its data, side by side; None if time is short."""
        base = dataclasses.replace(base, on_gpu=bool(self.facts.num_gpus), num_parameters=self.facts.num_parameters)
        flops = self.facts.evaluation_flops_per_example if base.evaluates else self.facts.flops_per_example
        images, rows, num_products = self._length(base)
        if self.images:  # products take no more operations than a short round
            rows = min(rows, round((self.images * flops / (2 * num_products)) ** (1 / 3)))
        trained = [(entry, task.with_rounds_of(self.images or images)) for entry, task in self._tasks(base)]
        product = dataclasses.replace(base, batch=rows)
        products = [(e, dataclasses.replace(e.task(product), round_steps=num_products)) for e in PRODUCTS]
        tasks = [*trained, *products]
        if self.budget:
            num_starts = len(self._waves(tasks))
            least_seconds = self.budget.begin(self.rounds * len(tasks), num_starts)
            if not least_seconds:
                return None
            tasks = [(entry, dataclasses.replace(task, least_seconds=least_seconds)) for entry, task in tasks]
        *results, through_tensorflow, through_pytorch = self._measured(tasks)
        if self.budget:
            self.budget.end()
        flops_per_s = {
            entry.label: [2 * rows**3 * num_products * done.units / done.seconds for done in one.rounds]
            for entry, one in (through_tensorflow, through_pytorch)
            if one.rounds
        }
        listed = [_result(entry, one) for entry, one in results]
        return Group(base.precision, base.batch, flops, listed, flops_per_s, base.model, base.evaluates)

    def _length(self, base: Task) -> tuple[int, int, int]:
        if not self.budget:
            return ON_GPU if base.on_gpu else ON_CPU
        images, rows, num_products = UNIT_ON_GPU if base.on_gpu else UNIT_ON_CPU
        return (1 if base.model in LARGE_MODELS else images), rows, num_products

    def _waves(self, tasks: Sequence[Any]) -> list[Sequence[Any]]:
        """The tasks in the portions that are there at a time."""
        size = self.together or max(1, len(tasks))
        return [tasks[first : first + size] for first in range(0, len(tasks), size)]

    def _tasks(self, base: Task) -> list[tuple[Entry, Task]]:
        chosen = [entry for entry in ROSTER if entry.name in self.contenders]
        chosen = [e for e in chosen if base.precision in e.precisions and base.model in e.models]
        if base.evaluates:
            return [(entry, entry.task(base)) for entry in [*(e for e in chosen if e.evaluation), TRAINING]]
        tasks = [(entry, entry.task(base)) for entry in chosen if self.one and ONE in entry.devices]
        if self.num_devices > 1 and base.batch == self.devices_batch:
            devices = [f"{'gpu' if base.on_gpu else 'cpu'}:{index}" for index in range(self.num_devices)]
            tasks += [(entry, entry.task(base, devices)) for entry in chosen if SEVERAL in entry.devices]
        return tasks

    def _measured(self, tasks: Sequence[tuple[Entry, Task]]) -> list[tuple[Entry, Measured]]:
        """As `rounds.measured`, without the contenders that need PyTorch if it is not installed."""
        lacking = [entry.needs_pytorch and not self.pytorch for entry, _ in tasks]
        able = [task for (_, task), lacks in zip(tasks, lacking, strict=True) if not lacks]
        timeout_s, together = TIMEOUT_S if self.budget else None, self.budget is not None
        waves = (measured(wave, self.rounds, timeout_s, together) for wave in self._waves(able))
        there = iter([one for wave in waves for one in wave])
        return [
            (entry, Measured(task, unavailable=NO_PYTORCH) if lacks else next(there))
            for (entry, task), lacks in zip(tasks, lacking, strict=True)
        ]


def _result(entry: Entry, one: Measured) -> Result:
    num_devices = len(one.task.tower_devices.split(","))
    label = entry.evaluation if one.task.evaluates else entry.label
    if not one.rounds:
        return Result(entry.name, label, num_devices, entry.is_peer, unavailable=one.unavailable)
    last = one.rounds[-1]
    return Result(
        entry.name,
        label,
        num_devices,
        entry.is_peer,
        images_per_s=one.images_per_s,
        losses=[done.loss for done in one.rounds],
        num_parameters=last.num_parameters,
        peak_bytes=last.peak_bytes,
        device_peak_bytes=last.device_peak_bytes,
    )
