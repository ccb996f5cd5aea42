"""A data set written as TFRecord shards: the same bytes every time, and resumable after a kill.

Shards come one by one into DIRECTORY.unfinished, each whole or not at all. Once all are there, the directory gets its
name. The pictures' files are copied as they are, so the pixels stay the same.
"""

import contextlib
import glob
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.datasets import reading
from pipeline.errors import UsageError
from pipeline.sources.base import Original, Source, Splits
from pipeline.storage.files import storage_errors, sync
from pipeline.storage.reading import parse_json, read_small

RECORD, CLASS_NAMES = "conversion.json", "class_names.txt"
_FORM = 1  # of the shards; raised when their bytes change
_UNFINISHED = ".unfinished"


def convert(splits: Splits, directory: Path, shard_examples: int, done: Callable[[int], None]) -> None:
    """Writes all splits into `directory`, shard_examples a shard. done: is told how many more examples are there.

    A conversion of the same data that was killed is gone on with; one that is whole already is left as it is.
    Raises UsageError where the directory holds anything else, StorageError where it cannot be written.
    """
    record = {
        "form": _FORM, "examples": splits.spec.fingerprint, "classes": list(splits.spec.class_names),
        "shard_examples": shard_examples,
    }  # fmt: skip
    work = directory.with_name(directory.name + _UNFINISHED)
    with storage_errors(work):
        if _holds(directory, record):
            done(sum(map(len, vars(splits).values())))
            return
        if not _holds(work, record):
            work.mkdir(parents=True, exist_ok=True)
            _write(work / CLASS_NAMES, "".join(f"{name}\n" for name in splits.spec.class_names))
            _write(work / RECORD, json.dumps(record, indent=1) + "\n")
        _write_shards(splits, work, shard_examples, done)
        for left in work.glob(".*"):  # of processes that were killed
            left.unlink()
        work.rename(directory)
        sync(directory.parent)


def flags_of(directory: Path, multi_label: bool = False) -> list[str]:
    """The flags with which a training reads the converted data."""
    pattern = os.path.join(glob.escape(str(directory)), "*.tfrecord")
    flags = [f"--source=tfrecord:{pattern}", f"--class_names={directory / CLASS_NAMES}"]
    return [*flags, "--multi_label"] if multi_label else flags


def _holds(directory: Path, record: dict[str, Any]) -> bool:
    """Whether the directory holds the conversion that `record` describes; False where it holds nothing yet.

    Raises UsageError where it holds anything else.
    """
    if not os.path.lexists(directory) or (directory.is_dir() and not os.listdir(directory)):
        return False
    found = None
    with contextlib.suppress(OSError, ValueError):
        found = parse_json(read_small(directory / RECORD))
    if found != record:
        raise UsageError(
            f"{directory} holds another conversion or other files; give another directory, or remove that one"
        )
    return True


def _write_shards(splits: Splits, work: Path, shard_examples: int, done: Callable[[int], None]) -> None:
    for name, source in vars(splits).items():
        count = -(-len(source) // shard_examples)
        for number in range(count):
            path = work / f"{name}-{number:05}-of-{count:05}.tfrecord"
            indices = range(number * shard_examples, min((number + 1) * shard_examples, len(source)))
            if not path.exists():
                _write_shard(source, indices, path)
            done(len(indices))


def _write_shard(source: Source, indices: range, path: Path) -> None:
    with _appearing(path) as new:
        try:
            with tf.io.TFRecordWriter(str(new)) as writer:
                for index, original in zip(indices, reading.originals(source, indices), strict=True):
                    writer.write(_example(original, index, source.class_names))
        except tf.errors.OpError as error:
            raise OSError(None, str(error).rpartition("; ")[2]) from error


def _example(original: Original, index: int, class_names: tuple[str, ...]) -> bytes:
    """The serialized tf.train.Example of one picture, with the keys of TensorFlow's ImageNet scripts; labels from 0."""
    texts = [class_names[label] for label in original.labels]
    name = original.name or f"{'|'.join(texts)}/{index:08}.png"
    values = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[original.content])),
        "image/filename": tf.train.Feature(bytes_list=tf.train.BytesList(value=[os.fsencode(name)])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=original.labels)),
        "image/class/text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in texts])),
    }
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString(deterministic=True)


def _write(path: Path, text: str) -> None:
    with _appearing(path) as new:
        new.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Yields a path to write to; the file there then takes the place of `path`, whole, or not at all.

    Its name is the process's own, as two conversions to one directory may meet.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    yield new
    sync(new)
    new.rename(path)
