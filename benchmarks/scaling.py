"""Compares several workers with one on the same cores: python -m benchmarks.scaling [--source=idx:DIR] [--json=FILE].

Workers are processes on this machine that talk over loopback, each bound to its share of the cores. Each round makes a
whole run of every layout, in alternating order; a ratio is the median of the rounds' own ratios. Where the time went is
the program's own accounting; the first call, which traces, is left out.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.comparison import Comparison, table
from benchmarks.layouts import MULTI_WORKER_MIRRORED, OURS, PHASES, Layout, Outcome
from benchmarks.machine import describe
from benchmarks.tables import columns

Measured = Mapping[Layout, Sequence[Outcome]]  # one outcome a round


def layouts(options: argparse.Namespace, cores: int) -> list[Layout]:
    """Each number of workers with one share of the cores each, one worker on as many cores, and the peer."""
    share = cores // max(options.workers)
    wanted = []
    for number in options.workers:
        batch = number * options.batch
        wanted += [Layout(OURS, number, share, batch), Layout(OURS, 1, number * share, batch)]
        if number > 1:
            wanted.append(Layout(MULTI_WORKER_MIRRORED, number, share, batch))
    return list(dict.fromkeys(wanted))


def measure(options: argparse.Namespace, wanted: Sequence[Layout]) -> Measured:
    """Runs every layout in each round, in every other round in reverse order."""
    outcomes: dict[Layout, list[Outcome]] = {layout: [] for layout in wanted}
    for number in range(options.rounds):
        for layout in wanted if number % 2 == 0 else reversed(wanted):
            outcomes[layout].append(layout.run(options))
        print(f"round {number + 1} of {options.rounds}: measured", file=sys.stderr)
    return outcomes


def comparisons(measured: Measured) -> Iterator[Comparison]:
    """Several workers beside one on the same cores, and beside the peer."""
    for layout in measured:
        if layout.program == OURS and layout.num_workers > 1:
            for other in measured:
                if other != layout and (other.cores, other.global_batch) == (layout.cores, layout.global_batch):
                    names = ("images/s", f"ours, {layout.described}", f"{other.program}, {other.described}")
                    speeds = (_speeds(measured[layout]), _speeds(measured[other]))
                    yield Comparison(*names, layout.global_batch, *speeds, goal="")


HEADER = ["cores", "program", "workers x cores", "batch", "images/s", "x one worker", "of linear", *PHASES]


def rows(measured: Measured) -> Iterator[list[str]]:
    """A line of the table for each layout.

    x one worker: beside one worker of ours on the same cores; of linear: beside as many times what one worker of ours
    does on its share of the cores; then the shares of the time.
    """
    by_layout = {(m.num_workers, m.worker_cores): _speeds(o) for m, o in measured.items() if m.program == OURS}
    for layout, outcomes in measured.items():
        own = _speeds(outcomes)
        yield [
            str(layout.cores),
            layout.program,
            layout.described,
            str(layout.global_batch),
            f"{statistics.median(own):,.0f}",
            _ratio(own, by_layout.get((1, layout.cores)), 1),
            _ratio(own, by_layout.get((1, layout.worker_cores)), layout.num_workers),
            *(f"{_share(outcomes, phase):.0%}" if outcomes[0].seconds else "" for phase in PHASES),
        ]


def _speeds(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.images_per_s for outcome in outcomes]


def _ratio(own: Sequence[float], others: Sequence[float] | None, times: int) -> str:
    if others is None:
        return ""
    return f"{statistics.median(a / (times * b) for a, b in zip(own, others, strict=True)):.2f}"


def _share(outcomes: Sequence[Outcome], phase: str) -> float:
    return statistics.median(outcome.seconds[phase] / sum(outcome.seconds.values()) for outcome in outcomes)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; each has a default."""
    parser = argparse.ArgumentParser("python -m benchmarks.scaling", description=__doc__.split(":")[0])
    parser.add_argument("--source", default="digits", help="as the pipeline's flag (default: digits)")
    parser.add_argument("--data_dir", default="", help="as the pipeline's flag")
    parser.add_argument("--workers", type=_integers, default=[1, 2, 4], help="default: 1,2,4")
    parser.add_argument("--batch", type=int, default=512, help="of each worker (default: 512)")
    parser.add_argument("--precision", default="float32", help="as the pipeline's flag (default: float32)")
    parser.add_argument("--wire", default="float32", help="as the pipeline's flag (default: float32)")
    parser.add_argument("--all_reduce", default="exact", help="as the pipeline's flag (default: exact)")
    parser.add_argument("--steps", type=int, default=40, help="of a run; the first 10 are warm-up (default: 40)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of every layout (default: 3)")
    parser.add_argument("--json", type=Path, help="a file for every single figure")
    options = parser.parse_args(arguments)
    if max(options.workers) > (cores := len(os.sched_getaffinity(0))):
        parser.error(f"workers={max(options.workers)} on {cores} cores leaves some without; give at most {cores}")
    return options


def _integers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Runs the layouts, prints the table and writes the figures."""
    options = parse()
    about = describe(options)
    measured = measure(options, layouts(options, about["cores"]))
    compared = list(comparisons(measured))
    print(
        f"convolutional, Adam, {options.precision}, {options.source}, all_reduce={options.all_reduce}, "
        f"wire={options.wire}; {about['processor']}, TensorFlow {about['tensorflow']}; "
        f"medians of {options.rounds} rounds"
    )
    print(f"\n{columns(HEADER, list(rows(measured)))}\n\n{table(compared)}")
    if options.json:
        runs = [vars(layout) | {"outcomes": [o._asdict() for o in outcomes]} for layout, outcomes in measured.items()]
        figures = about | {"layouts": runs, "comparisons": [comparison.as_dict() for comparison in compared]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
