"""Speed and memory beside peers, a table a precision: python -m benchmarks.peers [--source=idx:DIR] [--json=FILE].

Each contender is a process of its own. They train short rounds in turn, in alternating order and after a warm-up, and
a ratio is the median of the rounds' own ratios. PyTorch takes part where benchmarks/peers_venv.sh was run.
"""

import argparse
import dataclasses
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import goals, results, start
from benchmarks.budget import Budget
from benchmarks.comparison import Comparison, table
from benchmarks.facts import found
from benchmarks.goals import IMAGES_PER_S as IMAGES_PER_S
from benchmarks.groups import Measure
from benchmarks.machine import describe, pytorch_version
from benchmarks.results import MIB, Group
from benchmarks.roster import ALL, FOOTNOTE, FOR_CPUS, FOR_GPUS, MODELS, ROSTER
from benchmarks.task import Task

STARTED = time.monotonic()
ON_CPUS, ON_GPUS = ("float32", "bfloat16"), ("float32", "tf32", "bfloat16")  # precisions
SECONDS_HELP = "let contenders start together, and choose rounds that end in about so many seconds (0: neither)"
NO_TIME = "left out, since it would end after --seconds"
START_BATCH = 100
_SPEEDS = {False: {"one", "several"}, True: {"evaluation"}}  # sections with groups that train, and that evaluate
# On one device, on several of them, evaluation on one, and from nothing to the first step.
SECTIONS = ("one", "several", "evaluation", "start")


def speeds(options: argparse.Namespace, base: Task, about: dict[str, Any]) -> Iterator[Group]:
    """A group for each precision and batch, of training and of evaluation. Adds the facts of the machine to `about`."""
    with tempfile.TemporaryDirectory() as scratch:
        base = dataclasses.replace(base, arrays=str(Path(scratch, "examples.npz")))
        facts = found(base, Path(base.arrays))
        about |= dataclasses.asdict(facts) | {"pytorch": pytorch_version()}
        several = min(options.devices, facts.num_gpus or options.devices) if "several" in options.sections else 1
        contenders = options.contenders or (FOR_GPUS if facts.num_gpus else FOR_CPUS)
        precisions = options.precisions or (ON_GPUS if facts.num_gpus else ON_CPUS)
        works = [evaluates for evaluates in (False, True) if _SPEEDS[evaluates] & set(options.sections)]
        bases = [
            dataclasses.replace(base, precision=precision, batch=batch, evaluates=evaluates)
            for precision, evaluates, batch in itertools.product(precisions, works, options.batches)
        ]
        # fmt: off
        measure = Measure(
            facts, about["pytorch"], contenders, several, options.devices_batch, "one" in options.sections,
            options.rounds, options.images, _budget(options, len(bases)), options.together)
        # fmt: on
        for base in bases:
            group = measure.group(base)
            what = f"{'evaluation' if base.evaluates else 'training'} in {base.precision} at batch {base.batch}"
            print(f"{what}: {'measured' if group else NO_TIME}", file=sys.stderr)
            if group:
                yield group


def _budget(options: argparse.Namespace, num_groups: int) -> Budget | None:
    return Budget(options.seconds - (time.monotonic() - STARTED), num_groups) if options.seconds else None


def starts(options: argparse.Namespace, base: Task) -> Iterator[Comparison]:
    """The whole trainer from its start, beside Keras fit."""
    peer = dataclasses.replace(base, contender="keras_fit", batch=START_BATCH, round_steps=1)
    rounds = [(start.of_trainer(peer), start.of_peer(peer)) for _ in range(options.starts + 1)]
    ours, keras_fit = zip(*rounds[1:], strict=True)  # the first ones read the files from disk
    seconds = ([s.first_step_s for s in ours], [s.first_step_s for s in keras_fit])
    peaks = ([s.peak_bytes / MIB for s in ours], [s.peak_bytes / MIB for s in keras_fit])
    names = ("ours", "Keras fit", START_BATCH)
    yield Comparison("s to the first step", *names, *seconds, goal="<= 1.00", less_is_better=True)
    yield Comparison("MiB at the peak", *names, *peaks, goal="<= 1.00", less_is_better=True)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; each has a default."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__.split(":")[0])
    parser.add_argument("--source", default="digits", help="as the pipeline's flag (default: digits)")
    parser.add_argument("--data_dir", default="", help="as the pipeline's flag")
    parser.add_argument("--model", default="convolutional", choices=MODELS, help="default: convolutional")
    parser.add_argument("--image_size", type=int, default=0, help="as the pipeline's flag")
    parser.add_argument("--batches", type=_integers, default=[50, 100, 512], help="default: 50,100,512")
    parser.add_argument("--precisions", type=_among(ALL), help="default: float32,bfloat16, on GPUs also tf32")
    names = [entry.name for entry in ROSTER]
    parser.add_argument(
        "--contenders", type=_among(names), help=f"of {','.join(names)} (default: what fits the device)"
    )
    parser.add_argument("--devices", type=int, default=4, help="of contenders that use several (default: 4)")
    parser.add_argument("--devices_batch", type=int, default=512, help="the one batch for those (default: 512)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of every contender (default: 9)")
    parser.add_argument("--images", type=int, default=0, help="of a round (default: about 10,000, on GPUs 200,000)")
    parser.add_argument("--seconds", type=float, default=0, help=SECONDS_HELP)
    parser.add_argument("--together", type=int, default=0, help="most contenders at a time, for memory (default: all)")
    parser.add_argument("--starts", type=int, default=3, help="starts of every contender (default: 3)")
    parser.add_argument("--sections", type=_among(SECTIONS), default=SECTIONS, help=f"default: {','.join(SECTIONS)}")
    parser.add_argument("--json", type=Path, help="a file for every single figure")
    return parser.parse_args(arguments)


def _integers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _among(names):
    """Reads a list of some of these names."""

    def read(text: str) -> list[str]:
        words = text.split(",")
        if unknown := sorted(set(words) - set(names)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not one of {', '.join(names)}")
        return words

    return read


def main() -> None:
    """Runs the sections, prints the tables and writes the figures."""
    options = parse()
    about = describe(options)
    # fmt: off
    base = Task(
        "", 1, model=options.model, source=options.source, data_dir=options.data_dir, image_size=options.image_size)
    # fmt: on
    groups: list[Group] = []
    for group in speeds(options, base, about) if set().union(*_SPEEDS.values()) & set(options.sections) else ():
        groups.append(group)
        _write(options, about, groups, _comparisons(groups))  # should this process be ended, the rest is not lost
    comparisons = _comparisons(groups)
    comparisons += starts(options, base) if "start" in options.sections else []
    print(_title(options, about))
    for title in dict.fromkeys(group.title for group in groups):
        print(f"\n{results.table([group for group in groups if group.title == title])}")
    print(f"{FOOTNOTE if groups else ''}\n\n{table(comparisons)}")
    _write(options, about, groups, comparisons)


def _comparisons(groups: Sequence[Group]) -> list[Comparison]:
    return [comparison for group in groups for comparison in goals.comparisons(group)]


def _write(
    options: argparse.Namespace, about: dict[str, Any], groups: Sequence[Group], comparisons: Sequence[Comparison]
) -> None:
    """Writes all figures, in one go."""
    if options.json:
        figures = about | {
            "groups": [group.as_dict() for group in groups],
            "comparisons": [comparison.as_dict() for comparison in comparisons],
        }
        part = options.json.with_suffix(".part")
        part.write_text(json.dumps(figures, indent=2) + "\n")
        part.replace(options.json)


def _title(options: argparse.Namespace, about: dict[str, Any]) -> str:
    gpus = "".join(f", {name}" for name in about["gpus"])
    flops = f"; {about['flops_per_example'] / 1e6:.1f} MFLOP a training example" if "flops_per_example" in about else ""
    return (
        f"{options.model}, Adam, {options.source}; {about['cores']} cores of {about['processor']}{gpus}; "
        f"TensorFlow {about['tensorflow']}, Keras {about['keras']}, PyTorch {about.get('pytorch') or 'not there'}; "
        f"medians of {options.rounds} rounds{flops}"
    )


if __name__ == "__main__":
    main()
