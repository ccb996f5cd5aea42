"""Speed and memory beside peers, in one table: python -m benchmarks.peers [--source=idx:DIR] [--json=FILE].

Each contender is a process of its own. They train short rounds in turn, in alternating order and after a warm-up, and
a ratio is the median of the rounds' own ratios.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import start
from benchmarks.comparison import Comparison, table
from benchmarks.rounds import interleaved
from benchmarks.task import Task

TOWERS_BATCH = 512
START_BATCH = 100
INPUT_FACTOR = 50  # an input round is that much longer, as otherwise it would be over in milliseconds
IMAGES_PER_S, MIB = "images/s", 2**20


def training(options: argparse.Namespace) -> Iterator[Comparison]:
    """One tower beside the peers, and the input pipeline alone beside it."""
    for batch in options.batches:
        task = Task("ours", batch, source=options.source, data_dir=options.data_dir)
        tasks = [
            dataclasses.replace(task, contender=name).with_rounds_of(options.images)
            for name in ("ours", "keras_fit", "handwritten", "handwritten_pooled")
        ]
        alone = dataclasses.replace(task, contender="input_alone").with_rounds_of(options.images * INPUT_FACTOR)
        ours, keras_fit, handwritten, pooled, batches = interleaved([*tasks, alone], options.rounds)
        yield Comparison(IMAGES_PER_S, "ours", "keras_fit", batch, ours, keras_fit, ">= 1.00")
        yield Comparison(IMAGES_PER_S, "ours", "handwritten", batch, ours, handwritten, ">= 0.95")
        yield Comparison(IMAGES_PER_S, "ours", "handwritten_pooled", batch, ours, pooled, "")
        yield Comparison(IMAGES_PER_S, "input_alone", "ours", batch, batches, ours, ">= 5")


def towers(options: argparse.Namespace) -> Iterator[Comparison]:
    """Four logical CPU towers beside one, at the same global batch; and beside one that computes the same bits."""
    one = Task("ours", TOWERS_BATCH, source=options.source, data_dir=options.data_dir).with_rounds_of(options.images)
    four = dataclasses.replace(one, tower_devices="cpu:0,cpu:1,cpu:2,cpu:3")
    shared, shards = dataclasses.replace(four, variables="first"), dataclasses.replace(one, grad_shards=4)
    replicated, first, single, same_bits = interleaved([four, shared, one, shards], options.rounds)
    yield Comparison(IMAGES_PER_S, "ours, 4 towers", "ours, 1 tower", TOWERS_BATCH, replicated, single, ">= 0.95")
    yield Comparison(IMAGES_PER_S, "4, variables=first", "ours, 1 tower", TOWERS_BATCH, first, single, ">= 0.95")
    yield Comparison(IMAGES_PER_S, "ours, 4 towers", "1, grad_shards=4", TOWERS_BATCH, replicated, same_bits, "")


def starts(options: argparse.Namespace) -> Iterator[Comparison]:
    """The whole trainer from its start, beside Keras fit."""
    peer = Task("keras_fit", START_BATCH, round_steps=1, source=options.source, data_dir=options.data_dir)
    rounds = [(start.of_trainer(peer), start.of_peer(peer)) for _ in range(options.starts + 1)]
    ours, keras_fit = zip(*rounds[1:], strict=True)  # the first ones read the files from disk
    seconds = ([s.first_step_s for s in ours], [s.first_step_s for s in keras_fit])
    peaks = ([s.peak_bytes / MIB for s in ours], [s.peak_bytes / MIB for s in keras_fit])
    yield Comparison("s to the first step", "ours", "keras_fit", START_BATCH, *seconds, goal="< 15")
    yield Comparison("MiB at the peak", "ours", "keras_fit", START_BATCH, *peaks, goal="< 2,384 (2.5 GB)")


SECTIONS = {"training": training, "towers": towers, "start": starts}


def surroundings(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on, found without an import of TensorFlow: start._peak_bytes needs a small parent."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "options": vars(options),
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options, each of which has a default."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__.split(":")[0])
    parser.add_argument("--source", default="digits", help="as the pipeline's flag (default: digits)")
    parser.add_argument("--data_dir", default="", help="as the pipeline's flag")
    parser.add_argument("--batches", type=_integers, default=[50, 100, 512], help="default: 50,100,512")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of every contender (default: 9)")
    parser.add_argument("--images", type=int, default=10_000, help="images in a round, about (default: 10,000)")
    parser.add_argument("--starts", type=int, default=3, help="starts of every contender (default: 3)")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="default: all of %(default)s")
    parser.add_argument("--json", help="a file for every single figure")
    options = parser.parse_args(arguments)
    if unknown := set(options.sections.split(",")) - set(SECTIONS):
        parser.error(f"sections={options.sections}: {', '.join(sorted(unknown))} is not one of {', '.join(SECTIONS)}")
    return options


def _integers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Runs the sections, prints the table and writes the figures."""
    options = parse()
    about = surroundings(options)
    comparisons = [c for name in options.sections.split(",") for c in SECTIONS[name](options)]
    print(
        f"convolutional, Adam, float32, {options.source}; {about['cores']} cores of {about['processor']}, "
        f"TensorFlow {about['tensorflow']}, Keras {about['keras']}; {options.rounds} rounds, {options.starts} starts\n"
    )
    print(table(comparisons))
    if options.json:
        figures = about | {"comparisons": [comparison.as_dict() for comparison in comparisons]}
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
