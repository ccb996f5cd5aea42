"""Entry point: python -m pipeline.data check|convert SOURCE. Checks a data set, or writes it as TFRecord shards."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from absl.flags import DEFINE_enum, DEFINE_integer

from pipeline import sources
from pipeline.cli import command, flags
from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.process.startup import import_tensorflow
from pipeline.runs import settings
from pipeline.storage.files import expand
from pipeline.text.spelling import nearest

ACTIONS = {"check": ("SOURCE",), "convert": ("SOURCE", "tfrecord:DIR")}  # and the words that follow each
OF_SOURCES = (
    *("data_dir", "data_cache_mib", "validation_fraction", "record_image_key", "record_label_key", "class_names"),
    "multi_label",
)


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.define_fields(OF_SOURCES)
    DEFINE_enum("format", "table", ["table", "json"], "check: a report for people, or one JSON object a line.")
    DEFINE_integer("shard_examples", 1000, "convert: examples in a shard.", lower_bound=1)


def main(words: list[str]) -> None:
    """Does what the first word says. Raises BadDataError, after the report of a check, if an example is broken."""
    action, *rest = words or [""]
    if action not in ACTIONS:
        raise UsageError(f"'{action}' is nothing to do with data{nearest(action, ACTIONS)}")
    if len(rest) != len(ACTIONS[action]):
        raise UsageError(f"{action} takes {' '.join(ACTIONS[action])}, and {len(rest)} words were given; correct it")
    # Pictures are looked at in their own sizes, which may differ: none is made to fit another.
    values = {name: flags.value(name) for name in OF_SOURCES}
    config = Config(source=sources.normalized(rest[0]), image_size="1", **values)
    settings.check(config)
    directory = _directory(rest[1]) if action == "convert" else None
    import_tensorflow()
    from pipeline.engine import devices

    devices.hide_gpus()
    if directory:
        convert(config, directory)
    else:
        check(config)


def check(config: Config) -> None:
    """Prints the report on every example of a source. Raises BadDataError if one is broken."""
    from pipeline.datasets import checking, telling

    splits = sources.open_splits(config, examine=False)
    total = sum(map(len, vars(splits).values()))
    with _progress(total) as done:
        report = checking.check(splits, done)
    lines = telling.json_lines(report) if flags.value("format") == "json" else telling.table(report)
    for line in lines:
        print(line)
    if report.broken:
        raise BadDataError(
            f"{config.source}: {len(report.broken):,} of {total:,} examples are broken; replace or remove them"
        )


def convert(config: Config, directory: Path) -> None:
    """Writes a source as TFRecord shards, and prints the flags that read them."""
    from pipeline.datasets import converting

    splits = sources.open_splits(config)
    if splits.train.weights is not None:
        raise UsageError(f"{config.source} has weights, which shards do not hold; leave out its column weight")
    with _progress(sum(map(len, vars(splits).values()))) as done:
        converting.convert(splits, directory, flags.value("shard_examples"), done)
    print("\n".join(converting.flags_of(directory, config.multi_label)))


def _directory(target: str) -> Path:
    kind, _, path = target.partition(":")
    if kind != "tfrecord" or not path:
        raise UsageError(f"'{target}' is no form to convert to; write tfrecord:DIR")
    if "://" in path:
        raise UsageError(f"'{target}' is no directory of this machine; convert to one, then copy it to the store")
    return Path(os.path.normpath(expand(path, "tfrecord")))


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how many more examples are done; a terminal shows them as a moving line."""
    from tqdm import tqdm

    with tqdm(total=total, unit="examples", file=sys.stderr, disable=None, leave=False) as line:

        def done(number: int) -> None:
            line.update(number)

        yield done


def run() -> None:
    """The console command."""
    usage = "python -m pipeline.data check SOURCE | convert SOURCE tfrecord:DIR [flags]"
    command.run(main, define_flags, usage=usage, positional="WORD", own_topic="data")


if __name__ == "__main__":
    run()
