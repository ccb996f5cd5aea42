"""csv:FILE: a table of picture files, with the columns path, label (or labels), split, weight, as .csv, .tsv or .jsonl.

Paths are relative to the table. A split is train, test or val (valid, validation); rows of a table without that column
are all for training.
"""

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import classes, file_splits, order, table_rows
from pipeline.sources.base import Source
from pipeline.sources.labels import Labels, by_example, joined_names, of_example
from pipeline.sources.listing import UNREADABLE, printable
from pipeline.sources.picture_files import Example
from pipeline.sources.shards import SPLIT_OF
from pipeline.sources.table_rows import Row
from pipeline.storage.files import expand


def own_splits(argument: str, config: Config, named: classes.Names, examine: bool) -> dict[str, Source]:
    """The splits that the table `argument` has."""
    path = expand(argument, "source=csv")
    if not path.lower().endswith(table_rows.SUFFIXES):
        raise UsageError(f"source=csv:{argument} ends with none of {', '.join(table_rows.SUFFIXES)}; rename it")
    rows = _by_split(path, table_rows.read(path, config.multi_label))
    place = printable(path)
    if "train" not in rows and not named.of_other_data:
        raise BadDataError(f"{place} has no row of the split train; add pictures to train on")
    labels = {
        split: [classes.numbered([label for row in some for label in row.labels], place)]
        for split, some in rows.items()
    }
    class_names, numbers = classes.resolve(place, labels, named)
    listed = {
        split: _examples(path, some, _by_row(numbers[split], some, config.multi_label), class_names)
        for split, some in rows.items()
    }
    called = {f"{place} ({split})": examples for split, examples in listed.items()}
    splits = file_splits.opened(called, class_names, config.size, examine)
    return dict(zip(listed, splits, strict=True))


def _by_split(path: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each split that the table has, train first. Raises BadDataError."""
    place = printable(path)
    if not rows:
        raise BadDataError(f"{place} has no rows; give each picture one")
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.split and row.split.lower() not in SPLIT_OF:
            raise BadDataError(f"{place}: line {row.line} has the split {row.split}; give train, val or test")
        if row.path.lower().endswith(UNREADABLE):
            raise BadDataError(f"{place}: line {row.line}: {row.path} cannot be decoded; convert it to PNG or JPEG")
        if (row.weight is None) != (rows[0].weight is None):  # only in JSON lines
            raise BadDataError(f"{place}: line {row.line} and line {rows[0].line}: one has a weight; give all or none")
        found.setdefault(SPLIT_OF.get(row.split.lower(), ""), []).append(row)
    if list(found) == [""]:
        return {"train": list(rows)}
    if "" in found:
        raise BadDataError(f"{place}: line {found[''][0].line} has no split, other lines do; give train, val or test")
    return {split: found[split] for split in ("train", "test", "validation") if split in found}


def _by_row(numbers: npt.NDArray[np.int32], rows: Sequence[Row], multi_label: bool) -> Labels:
    """The classes of the rows, which stand one after another in `numbers`, by row."""
    counts = np.array([len(row.labels) for row in rows], np.int64)
    return by_example(numbers, counts) if multi_label else numbers


def _examples(path: str, rows: Sequence[Row], table: Labels, class_names: Sequence[str]) -> list[Example]:
    """The pictures of a split in the order of their names. table: the classes of each row."""
    directory = os.path.dirname(path)
    words = joined_names(table, class_names)
    names = order.names([row.path for row in rows], words, lambda: [f"{row.line}/{row.path}" for row in rows])
    listed = [f"{printable(path)}: line {row.line}: " for row in rows]
    return [
        Example(names[i], os.path.join(directory, rows[i].path), _label(table, i), listed[i], rows[i].weight)
        for i in order.by_hash(names)
    ]


def _label(table: Labels, i: int) -> int | tuple[int, ...]:
    return int(table[i]) if table.ndim == 1 else of_example(table, i)
