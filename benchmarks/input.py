"""Input beside plain tf.data and TFDS, training left out: python -m benchmarks.input [--mnist=DIR] [--json=FILE].

Each contender is a process of its own that takes batches as fast as they come: of digits held in memory, of MNIST's
records read by TFDS (DIR holds the four archives), and of JPEG files of 32 x 32 and 224 x 224, drawn anew each time.
Rounds are in alternating order and after a warm-up, and a ratio is the median of the rounds' own ratios.
"""

import argparse
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.comparison import Comparison, table
from benchmarks.peers import IMAGES_PER_S, describe
from benchmarks.rounds import interleaved
from benchmarks.task import Task
from pipeline.process.startup import import_tensorflow

GOAL = ">= 1.00"
MODEL = "dense"  # of which nothing is computed: it is there because towers hold one
FILES = {32: 10_000, 224: 1_000}  # JPEG files by height and width
DURATION = {"memory": 50, "held": 50, "records": 5, "files32": 5, "files224": 0.7}  # of a round, in units of --images


def _compared(options: argparse.Namespace, section: str, contenders: Sequence[Task]) -> Iterator[Comparison]:
    """The comparisons of the first contender with each of the others."""
    tasks = [task.with_rounds_of(round(options.images * DURATION[section])) for task in contenders]
    own, *others = interleaved(tasks, options.rounds)
    for task, values in zip(tasks[1:], others, strict=True):
        name = f"{section}: {tasks[0].contender}"
        yield Comparison(IMAGES_PER_S, name, task.contender, options.batch, own, values, GOAL)


def memory(options: argparse.Namespace, scratch: Path) -> Iterator[Comparison]:
    """Digits from arrays."""
    names = ("input_alone", "plain_memory")
    yield from _compared(options, "memory", [Task(name, options.batch, model=MODEL) for name in names])


def records(options: argparse.Namespace, scratch: Path) -> Iterator[Comparison]:
    """MNIST as TFDS prepares it: read at random from ArrayRecord files, and from TFRecord files in their order."""
    if not options.mnist:
        return
    array_record, tfrecord = (_prepared(options.mnist, scratch / form, form) for form in ("array_record", "tfrecord"))
    task = Task("", options.batch, model=MODEL, source="tfds:mnist")
    ours, theirs = (dataclasses.replace(task, data_dir=str(place)) for place in (array_record, tfrecord))
    for section, contenders in {
        "held": {"input_alone": ours, "tfds_dataset": theirs},
        "records": {"input_of_records": ours, "tfds_dataset_of_records": theirs, "tfds_data_source": ours},
    }.items():
        tasks = [dataclasses.replace(task, contender=name) for name, task in contenders.items()]
        yield from _compared(options, section, tasks)


def _prepared(archives: Path, data_dir: Path, form: str) -> Path:
    """TFDS's directory with MNIST in files of that form."""
    import tensorflow_datasets

    manual = data_dir / "downloads" / "manual"
    shutil.copytree(archives, manual)
    tensorflow_datasets.display_progress_bar(False)
    tensorflow_datasets.builder("mnist", data_dir=data_dir).download_and_prepare(file_format=form)
    return data_dir


def files32(options: argparse.Namespace, scratch: Path) -> Iterator[Comparison]:
    """JPEG files of 32 x 32."""
    yield from _files(options, scratch, 32)


def files224(options: argparse.Namespace, scratch: Path) -> Iterator[Comparison]:
    """JPEG files of 224 x 224."""
    yield from _files(options, scratch, 224)


def _files(options: argparse.Namespace, scratch: Path, side: int) -> Iterator[Comparison]:
    from benchmarks.shapes import drawing

    directory = scratch / f"shapes{side}"
    splits = {"train": np.arange(FILES[side]), "test": drawing.TEST_START + np.arange(50)}
    drawing.write(directory, splits, side)
    names = ("input_alone", "plain_files", "keras_files")
    tasks = [Task(name, options.batch, model=MODEL, source=f"folder:{directory}", image_size=side) for name in names]
    yield from _compared(options, f"files{side}", tasks)


SECTIONS = {"memory": memory, "records": records, "files32": files32, "files224": files224}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; each has a default."""
    parser = argparse.ArgumentParser("python -m benchmarks.input", description=__doc__.split(":")[0])
    parser.add_argument("--mnist", type=Path, help="directory of the four archives; without it no records are read")
    parser.add_argument("--batch", type=int, default=128, help="default: 128")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of every contender (default: 9)")
    parser.add_argument("--images", type=int, default=20_000, help="for the length of a round (default: 20,000)")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="default: all of %(default)s")
    parser.add_argument("--json", type=Path, help="a file for every single figure")
    options = parser.parse_args(arguments)
    if unknown := set(options.sections.split(",")) - set(SECTIONS):
        parser.error(f"sections={options.sections}: {', '.join(sorted(unknown))} is not one of {', '.join(SECTIONS)}")
    return options


def main() -> None:
    """Runs the sections, prints the table and writes the figures."""
    options = parse()
    about = describe(options)
    import_tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        sections = [SECTIONS[name] for name in options.sections.split(",")]
        comparisons = [comparison for section in sections for comparison in section(options, Path(scratch))]
    print(
        f"{about['cores']} cores of {about['processor']}, TensorFlow {about['tensorflow']}; {options.rounds} rounds\n"
    )
    print(table(comparisons))
    if options.json:
        figures = about | {"comparisons": [comparison.as_dict() for comparison in comparisons]}
        options.json.write_text(json.dumps(figures, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
