"""Files that hold many pictures each: found by a glob, split by their names, and indexed once.

An index says where in its shard each picture lies, and what it is of. It is kept in a directory beside the shard, else
below --data_dir or ~/.cache/pipeline, and made again when the shard's size or time of change is another. Indices of
shards in a store are kept there alone, and made again when size or ETag is another.
"""

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from absl import logging
from tqdm import tqdm

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources.listing import printable, some
from pipeline.sources.shard_files import ShardFiles
from pipeline.storage.stores import Stored

_VERSION = 2  # of an index; raised when its form or its meaning changes
_OPTIONAL = ("counts", "before", "behind")  # columns
_SPLIT = re.compile(r"(?<![a-z])(train|validation|valid|val|test)(ing)?(?![a-z])")
_NUMBER = re.compile(r"(\d{1,9})-of-(\d{1,9})[^/]*$")  # of a shard, and of all of them, in the name of a file
SPLIT_OF = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation"}


class Index(NamedTuple):
    """Where the pictures of one shard lie, and what they are of; in the order of the shard."""

    offsets: npt.NDArray[np.int64]  # of the picture's first byte, from the start of the shard
    lengths: npt.NDArray[np.int64]  # of the picture, in bytes
    labels: npt.NDArray[np.int64]  # as the shard has them; numbers of its own where `textual`
    names: list[str]  # of the pictures' files; "" where the shard has none
    classes: dict[int, str]  # label -> the text that the shard has for it
    textual: bool = False  # whether classes are told apart by their texts alone
    counts: npt.NDArray[np.int64] | None = None  # the labels of each picture, of multi-label data; None: each has one
    # Bytes of each record before and behind its picture, where records have checksums.
    before: npt.NDArray[np.int64] | None = None
    behind: npt.NDArray[np.int64] | None = None


class Shard(NamedTuple):
    """A file and its index, made when the file was as `stored` says."""

    stored: Stored
    contents: Index

    @property
    def path(self) -> str:
        """The file's path, or its address."""
        return self.stored.path


def find(files: ShardFiles, kind: str, pattern: str, needs_train: bool) -> dict[str, list[str]]:
    """The paths that the glob matches, sorted, by split, train first.

    A split is a word of the file's name, else of its directory's: train, test, validation, valid or val. Where no path
    has one, all are train. Raises BadDataError where none matches, only some have a split, or none is for training and
    that is needed.
    """
    paths, hint = files.find(kind, pattern)
    if not paths:
        raise BadDataError(f"source={kind}:{pattern} matches no file{hint}")
    _tell_missing(paths)
    splits: dict[str, list[str]] = {}
    for path in paths:
        splits.setdefault(_split_of(path), []).append(path)
    if list(splits) == [""]:
        return {"train": paths}
    if "" in splits:
        raise BadDataError(
            f"source={kind}:{pattern}: {some(list(map(printable, splits[''])))} have no train, val or test in their "
            "names, others do; rename them, or give another glob"
        )
    if needs_train and "train" not in splits:
        raise BadDataError(f"source={kind}:{pattern} matches no file with train in its name; give a glob that does")
    return {split: splits[split] for split in ("train", "test", "validation") if split in splits}


def _tell_missing(paths: Sequence[str]) -> None:
    """Warns where names say, as train-00003-of-00128 does, that there are more shards than these."""
    series: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        if found := _NUMBER.search(path):
            name = f"{path[: found.start(1)]}*{path[found.end(1) :]}"
            series.setdefault((name, found[2]), set()).add(int(found[1]))
    for (name, total), numbers in series.items():
        if len(numbers) < int(total):
            begin = int(int(total) in numbers)  # they are numbered from 1, where one has the last number
            first = next(number for number in itertools.count(begin) if number not in numbers)
            there = "is there" if len(numbers) == 1 else "are there"
            logging.warning(
                "%s: %d of %d shards %s, the first that is missing has the number %d; those that are there are read",
                printable(name), len(numbers), int(total), there, first,
            )  # fmt: skip


def _split_of(path: str) -> str:
    """The split in a file's name, else in its directory's, which may be no bucket; '' where there is none."""
    _, _, in_store = path.partition("://")
    directory, name = os.path.split(in_store.partition("/")[2] if in_store else os.path.abspath(path))
    for words in (name, os.path.basename(directory)):
        if found := _SPLIT.search(words.lower()):
            return SPLIT_OF[found[1]]
    return ""


def indexed(
    files: ShardFiles, paths: Sequence[str], make: Callable[[str, IO[bytes]], Index], form: str, config: Config
) -> list[Shard]:
    """The shards at these paths with their indices: kept ones, or made by `make`, several at a time.

    make: of a path and the open file. form: text that two indices of one file share only if they are equal: the kind of
    shard and the keys looked for. Raises BadDataError for the first shard that cannot be read.
    """
    how: dict[str, Any] = {"desc": "index", "total": len(paths), "unit": "file", "delay": 1, "leave": False}
    with ThreadPoolExecutor(16) as threads:
        found = threads.map(lambda path: _shard(files, path, make, form), paths)
        # None: a moving line where stderr is a terminal.
        return list(tqdm(found, **how, file=sys.stderr, disable=config.quiet or None))


def _shard(files: ShardFiles, path: str, make: Callable[[str, IO[bytes]], Index], form: str) -> Shard:
    file, places = files.stored(path), files.places(path, form)
    stamp = [_VERSION, file.size, file.version]
    if kept := _kept(places, stamp):
        return Shard(file, kept)
    with files.alone(places[0]):
        if kept := _kept(places, stamp):  # another process has made it meanwhile
            return Shard(file, kept)
        try:
            with files.opened(file) as content:
                index = make(path, content)
        except OSError as error:
            raise BadDataError(f"{printable(path)} cannot be read ({error.strerror}); make it readable") from None
        if not any(_write(place, stamp, index) for place in places):
            logging.warning("the index of %s is kept nowhere; it is made again at every start", printable(path))
    return Shard(file, index)


def _kept(places: Sequence[Path], stamp: list[int]) -> Index | None:
    """The index that lies at one of these places and is of a shard with this stamp; None if there is none."""
    return next((index for index in (_load(place, stamp) for place in places) if index), None)


def _load(place: Path, stamp: list[int]) -> Index | None:
    """The index kept there; None where there is none, it is of another state of its shard, or damaged."""
    if not os.path.exists(place):
        return None
    try:
        with np.load(place) as file:  # a zip archive, which checks a CRC of all that is read
            if file["stamp"].tolist() != stamp:
                return None
            offsets, lengths, labels, numbers = (file[name] for name in ("offsets", "lengths", "labels", "classes"))
            names, texts = (_split(file[name]) for name in ("names", "texts"))
            classes = dict(zip(numbers.tolist(), texts, strict=True))
            further = {name: file[name] for name in _OPTIONAL if name in file.files}
            index = Index(offsets, lengths, labels, names, classes, bool(file["textual"]), **further)
    except Exception as error:  # a cache may be damaged in any way; making it again repairs it
        logging.warning("%s is damaged (%s); the index is made again", place, error)
        return None
    counts = np.ones(len(labels), np.int64) if index.counts is None else index.counts
    columns = (offsets, lengths, counts, *(column for column in (index.before, index.behind) if column is not None))
    return index if {len(names)} == set(map(len, columns)) and len(labels) == counts.sum() else None


def _write(place: Path, stamp: list[int], index: Index) -> bool:
    """Puts a whole index in place, or none; other processes may write the same one. Whether it did."""
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            "stamp": np.array(stamp), "offsets": index.offsets, "lengths": index.lengths, "labels": index.labels,
            "names": _joined(index.names), "classes": np.array(list(index.classes), np.int64),
            "texts": _joined(list(index.classes.values())), "textual": np.array(index.textual),
        }  # fmt: skip
        arrays |= {name: own for name in _OPTIONAL if (own := getattr(index, name)) is not None}
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # mypy takes any name for savez's own
        temporary.replace(place)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        return False
    return True


def _joined(words: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.frombuffer("".join(f"{word}\0" for word in words).encode(), np.uint8)


def _split(joined: npt.NDArray[np.uint8]) -> list[str]:
    return joined.tobytes().decode().split("\0")[:-1]


def column(values: Sequence[int]) -> npt.NDArray[np.int64]:
    """One of an index's columns of numbers."""
    return np.array(values, np.int64)


def plain(text: bytes) -> str:
    """Text of a shard as it can be kept and printed."""
    return text.decode(errors="backslashreplace").replace("\0", "\\0")
