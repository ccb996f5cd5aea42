"""Compares several workers with one on the same cores: python -m benchmarks.scaling [--source=idx:DIR] [--json=FILE].

Workers are processes on this machine that talk over loopback, each bound to its share of the cores. With --link each is
on a host of its own, a network namespace, whose link to the others has that rate in both directions. Each round makes a
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
from benchmarks.layouts import ALL_REDUCE, FAST, MULTI_WORKER_MIRRORED, OURS, PHASES, Layout, Outcome
from benchmarks.machine import describe
from benchmarks.tables import columns
from tests.support.cluster import hosts

Measured = Mapping[Layout, Sequence[Outcome]]  # one outcome a round


def layouts(options: argparse.Namespace, cores: int) -> list[Layout]:
    """Each number of workers with one share of the cores each, one worker on as many cores, and the peer."""
    share = max(1, cores // max(options.workers))
    own = [program for program in (OURS, FAST) if ALL_REDUCE[program] in options.all_reduce]
    wanted = []
    for number in options.workers:
        batch = number * options.batch
        if number > 1:
            wanted += [Layout(program, number, share, batch) for program in own]
        wanted.append(Layout(OURS, 1, min(number * share, cores), batch))
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
        if layout.program in ALL_REDUCE and layout.num_workers > 1:
            for other in measured:
                same = (other.cores, other.global_batch) == (layout.cores, layout.global_batch)
                if same and other != layout and (other.program, layout.program) != (OURS, FAST):
                    names = ("images/s", f"{layout.program}, {layout.described}", f"{other.program}, {other.described}")
                    speeds = (_speeds(measured[layout]), _speeds(measured[other]))
                    yield Comparison(*names, layout.global_batch, *speeds, goal="")


HEADER = ["cores", "program", "workers x cores", "batch", "images/s", "x one worker", "of linear", *PHASES]


def rows(measured: Measured) -> Iterator[list[str]]:
    """A line of the table for each layout.

    x one worker: beside one worker of ours on the same cores; of linear: beside what one worker of ours does on one
    share of the cores, as many times as there are shares; then the shares of the time.
    """
    alone = {(m.cores, m.global_batch): _speeds(o) for m, o in measured.items() if m.num_workers == 1}
    for layout, outcomes in measured.items():
        own = _speeds(outcomes)
        yield [
            str(layout.cores),
            layout.program,
            layout.described,
            str(layout.global_batch),
            f"{statistics.median(own):,.0f}",
            _ratio(own, alone.get((layout.cores, layout.global_batch)), 1),
            _ratio(own, alone.get((layout.worker_cores, layout.worker_batch)), layout.cores // layout.worker_cores),
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
    parser.add_argument("--all_reduce", type=_words, default=["exact"], help="exact, fast, or both (default: exact)")
    parser.add_argument("--link", default="", help="rate of each host's link, as 100mbit or 1gbit (default: loopback)")
    parser.add_argument("--shared_cores", action="store_true", help="allow more workers than cores, which share them")
    parser.add_argument("--steps", type=int, default=40, help="of a run; the first 10 are warm-up (default: 40)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of every layout (default: 3)")
    parser.add_argument("--json", type=Path, help="a file for every single figure")
    options = parser.parse_args(arguments)
    if max(options.workers) > (cores := len(os.sched_getaffinity(0))) and not options.shared_cores:
        parser.error(
            f"workers={max(options.workers)} on {cores} cores leaves some without; give at most {cores}, or "
            "--shared_cores"
        )
    if unknown := set(options.all_reduce) - set(ALL_REDUCE.values()):
        parser.error(f"all_reduce={','.join(sorted(unknown))} is none of exact, fast")
    if options.link and (lacking := hosts.missing_links(options.link)):
        parser.error(f"link={options.link} cannot be had: {lacking}")
    return options


def _integers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _words(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    """Runs the layouts, prints the table and writes the figures."""
    options = parse()
    about = describe(options)
    measured = measure(options, layouts(options, about["cores"]))
    compared = list(comparisons(measured))
    print(
        f"convolutional, Adam, {options.precision}, {options.source}, wire={options.wire}, "
        f"link={options.link or 'loopback'}; {about['processor']}, TensorFlow {about['tensorflow']}; "
        f"medians of {options.rounds} rounds"
    )
    print(f"\n{columns(HEADER, list(rows(measured)))}\n\n{table(compared)}")
    if options.json:
        runs = [vars(layout) | {"outcomes": [o._asdict() for o in outcomes]} for layout, outcomes in measured.items()]
        figures = about | {"layouts": runs, "comparisons": [comparison.as_dict() for comparison in compared]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
