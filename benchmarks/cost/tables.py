"""The model's tables, and its comparison with measured workers. PURE."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.cost import collectives, hosts, job
from benchmarks.cost.collectives import WAYS
from benchmarks.cost.job import Size
from benchmarks.cost.networks import CONVOLUTIONAL
from benchmarks.cost.scenarios import WORKERS, Scenario
from benchmarks.cost.step import Program, efficiency, step
from benchmarks.tables import columns, figure

PROGRAMS = {"ours": collectives.exact, "ours, fast": collectives.ring}  # of benchmarks.layouts
BITS_PER_S = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
PAYLOAD = (
    1448 / 1514
)  # of the bytes of a full frame of Ethernet, as tc counts them: the rest is TCP's, IP's and its own


def steps(scenario: Scenario) -> str:
    """A line for each number of workers: speed, efficiency by way, and where an exact step's time goes."""
    where = ["passes", "towers", "hops", "messages", "bytes", "adding"]
    header = ["workers", "images/s, exact", *(f"of linear, {name}" for name in WAYS), *where]
    return f"{scenario.name}\n{columns(header, [_row(scenario, workers) for workers in WORKERS])}"


def _row(scenario: Scenario, workers: int) -> list[str]:
    found = step(scenario.program, scenario.host, workers, collectives.exact)
    linear = [efficiency(scenario.program, scenario.host, workers, algorithm) for algorithm in WAYS.values()]
    shares = [part / found.seconds for part in (found.computing, found.towers, *found.waiting)]
    return [f"{workers:,}", f"{found.images_per_s:,.0f}", *(f"{one:.0%}" for one in [*linear, *shares])]


def events(scenario: Scenario) -> str:
    """A line for each number of workers: what the events of a job cost."""
    header = ["workers", "start", "save", "evaluation", "recovery", "a failure every", "best interval", "time lost"]
    rows = []
    for workers in WORKERS:
        cost = job.events(Size(scenario.program, scenario.host, scenario.around, workers))
        seconds = (cost.start, cost.save, cost.evaluation, cost.recovery)
        apart = f"{cost.failures_apart / 3600:,.0f} h"
        rows.append([f"{workers:,}", *map(short, seconds), apart, short(cost.interval), f"{cost.lost:.2%}"])
    return f"{scenario.name}\n{columns(header, rows)}"


def items(scenario: Scenario, workers: int) -> str:
    """What the code does for a job of this size: its cost, its growth in all, and a proposal where that is too much."""
    found = job.items(Size(scenario.program, scenario.host, scenario.around, workers))
    rows = [[i.event, i.what, short(i.seconds), "beside" if i.beside else "", i.growth, i.proposal] for i in found]
    header = ["at each", "what", "a worker's seconds", "", "all workers'", "instead"]
    return f"{workers:,} workers, {scenario.name}\n{columns(header, rows)}"


def short(seconds: float) -> str:
    """A time in two or three digits, with its unit."""
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= 1.5 * size:
            return f"{figure(seconds / size)} {unit}"
    return f"{figure(seconds / 1e-6)} us"


def beside(found: Mapping[str, Any], figures: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Each of our layouts of several workers in a file of `benchmarks.scaling --json`: its name, measured, predicted.

    In images/s. The passes' time is that of one worker on one share of the cores in the same rounds.
    """
    rate = figures["options"]["link"]
    host = hosts.here(found, bytes_per_s(rate))
    alone = {one["global_batch"]: _speed(one) for one in figures["layouts"] if _is_alone(one)}
    return list(_pairs(found, figures["layouts"], host, alone, rate or "loopback"))


def _pairs(
    found: Mapping[str, Any],
    layouts: Sequence[Mapping[str, Any]],
    host: hosts.Host,
    alone: Mapping[int, float],
    link: str,
) -> Iterator[tuple[str, float, float]]:
    for one in layouts:
        workers = one["num_workers"]
        if workers > 1 and one["program"] in PROGRAMS:
            batch = one["global_batch"] // workers
            example_s = max(0.0, 1 / alone[batch] - found["update_s"] / batch)
            program = Program(CONVOLUTIONAL, example_s, found["update_s"], batch)
            predicted = step(program, host, workers, PROGRAMS[one["program"]]).images_per_s
            yield f"{one['program']}, {workers} workers, {link}", _speed(one), predicted


def comparison(pairs: Sequence[tuple[str, float, float]]) -> str:
    """The table of measured and predicted speeds."""
    header = ["layout", "measured images/s", "predicted", "predicted / measured"]
    return columns(header, [[name, f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.2f}"] for name, a, b in pairs])


def _is_alone(layout: Mapping[str, Any]) -> bool:
    return layout["num_workers"] == layout["worker_cores"] == 1


def _speed(layout: Mapping[str, Any]) -> float:
    speeds = sorted(outcome["images_per_s"] for outcome in layout["outcomes"])
    return speeds[len(speeds) // 2]


def bytes_per_s(rate: str) -> float:
    """What is left for messages of a rate as tc reads it, such as 100mbit; infinite for ''."""
    for unit, bits in BITS_PER_S.items():
        if rate.endswith(unit):
            return PAYLOAD * float(rate.removesuffix(unit)) * bits / 8
    return float("inf")
