"""The rows of a table of pictures: a CSV, TSV or JSONL file with the columns path, label or labels, split, weight."""

import contextlib
import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from absl import logging

from pipeline.config import LARGEST_FLOAT32
from pipeline.errors import BadDataError
from pipeline.sources import classes
from pipeline.sources.listing import printable
from pipeline.storage.reading import open_regular, parse_json

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl")
SEPARATOR = "|"  # of several labels in one cell
_OPTIONAL = ("split", "weight")
_NAME_THEM = "name its columns in its first line"
_SHOWN = 60  # characters of a value in a message
_MOST_PATH = 4096  # characters; Linux takes no path of more bytes


class Row(NamedTuple):
    """One row: a picture, its labels, its split as it is written ("" without one), and its weight, if it has one."""

    line: int  # of the file, from 1
    path: str
    labels: tuple[int | str, ...]  # one, but for multi-label data
    split: str
    weight: float | None = None


class _Unusable(Exception):
    """What is wrong with a row, to follow its line."""


def read(path: str, multi_label: bool) -> list[Row]:
    """The rows of the file, whose suffix is one of SUFFIXES. Raises BadDataError for the first that cannot be used.

    multi_label: whether the column labels is read, and not the column label.
    """
    column = "labels" if multi_label else "label"
    rows = []
    line = 0
    try:
        with open_regular(Path(path)) as file:
            for line, values in _values(path, file, column):
                rows.append(_row(line, values, column))
    except OSError as error:
        raise BadDataError(f"source=csv:{printable(path)} cannot be read ({error.strerror}); correct it") from None
    except UnicodeDecodeError:
        raise BadDataError(f"{printable(path)} is not UTF-8 text; save it as such") from None
    except _Unusable as error:
        raise BadDataError(f"{printable(path)}: line {line} {error}") from None
    return rows


def _values(path: str, file: IO[bytes], column: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each row's line, and its values by column."""
    lines = (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(file))
    if path.lower().endswith(".jsonl"):
        told = False
        for number, line in enumerate(lines, 1):
            if line.strip():
                values = _object(path, number, line)
                _check_columns(path, list(values), column, tell=not told)
                told = True
                yield number, values
        return
    reader = csv.reader(lines, delimiter=DELIMITERS[Path(path).suffix.lower()], strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_columns(path, header, column, tell=True)
        for cells in reader:
            if len(cells) not in (0, len(header)):
                raise BadDataError(
                    f"{printable(path)}: line {reader.line_num} has {len(cells)} values and the header "
                    f"{len(header)} columns; correct it"
                )
            if cells:
                yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise BadDataError(f"{printable(path)}: line {reader.line_num} cannot be read ({error}); correct it") from None


def _object(path: str, number: int, line: str) -> dict[str, Any]:
    try:
        values = parse_json(line, halves=True)  # whoever uses a value says what is wrong with it
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise BadDataError(
            f'{printable(path)}: line {number} is no JSON object; write it as {{"path": "a.jpg", "label": "cat"}}'
        )
    return values


def _check_columns(path: str, columns: list[str], column: str, tell: bool) -> None:
    """Raises BadDataError for a column that is missing, there twice, or means what nothing here uses.

    column: label or labels. tell: whether columns of another meaning, which are left out, are told.
    """
    place = printable(path)
    if column == "label" and "labels" in columns:
        raise BadDataError(
            f"{place} has a column labels, and an example has one label; give --multi_label, or remove or rename it"
        )
    read = ("path", column, *_OPTIONAL)
    if missing := [name for name in ("path", column) if name not in columns]:
        found = ", ".join(columns)[:_SHOWN] or "nothing"
        remedy = "leave out --multi_label, which needs it, or add it" if missing[0] == "labels" else _NAME_THEM
        raise BadDataError(f"{place} has no column {missing[0]}, but {found}; {remedy}")
    for name in read:
        if columns.count(name) > 1:
            raise BadDataError(f"{place} has two columns {name}; remove or rename one")
    others = [name for name in columns if name not in read]
    if others and tell:
        logging.warning("%s: not read of its columns: %s", place, ", ".join(others))


def _row(line: int, values: dict[str, Any], column: str) -> Row:
    """Raises _Unusable."""
    path, split = values["path"], values.get("split") or ""
    if not isinstance(path, str) or not path or not _is_name(path):
        raise _Unusable(f"has the path {_shown(path)}; give the path of a picture")
    labels = _several(values[column]) if column == "labels" else _one(values[column])
    if not isinstance(split, str):
        raise _Unusable(f"has the split {_shown(split)}; give train, val or test")
    return Row(line, path, labels, split.strip(), _weight(values["weight"]) if "weight" in values else None)


def _weight(value: Any) -> float:
    weight = math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            weight = float(value)
    if not 0 <= weight <= LARGEST_FLOAT32:
        raise _Unusable(f"has the weight {_shown(value)}; give a number of 0 or more")
    return weight


def _one(value: Any) -> tuple[int | str]:
    label = classes.parsed(value)
    if label is None:
        raise _Unusable(f"has the label {_shown(value)}; give a whole number or a text of one line")
    return (label,)


def _several(value: Any) -> tuple[int | str, ...]:
    """The labels in a list of JSON, or in a cell, where SEPARATOR lies between them; an empty one has none."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(SEPARATOR)] if value.strip() else []
    labels = classes.parsed_several(value)
    if labels is None:
        raise _Unusable(
            f"has the labels {_shown(value)}; give a list of whole numbers or texts of one line, each once "
            f"(in CSV, with {SEPARATOR} between them)"
        )
    return labels


def _is_name(path: str) -> bool:
    """Whether a file can have this path: not too long, without the zero byte and without halves of characters."""
    halves = any("\ud800" <= character <= "\udfff" for character in path)
    return len(path) < _MOST_PATH and "\0" not in path and not halves


def _shown(value: Any) -> str:
    return json.dumps(value)[:_SHOWN]
