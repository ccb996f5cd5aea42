"""The rows of a table of pictures: a CSV, TSV or JSONL file with the columns path, label and split."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from absl import logging

from pipeline.errors import BadDataError
from pipeline.sources import classes
from pipeline.sources.listing import printable
from pipeline.storage.reading import open_regular, parse_json

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl")
NEEDED, OPTIONAL = ("path", "label"), ("split",)
_UNUSED = {"weight": "examples have no weights", "labels": "an example has one label"}  # refused, and why
_SHOWN = 60  # characters of a value in a message


class Row(NamedTuple):
    """One row: a picture, its label, and its split as it is written ("" without one)."""

    line: int  # of the file, from 1
    path: str
    label: int | str
    split: str


class _Unusable(Exception):
    """What is wrong with a row, to follow its line."""


def read(path: str) -> list[Row]:
    """The rows of the file, whose suffix is one of SUFFIXES. Raises BadDataError for the first that cannot be used."""
    rows = []
    line = 0
    try:
        with open_regular(Path(path)) as file:
            for line, values in _values(path, file):
                rows.append(_row(line, values))
    except OSError as error:
        raise BadDataError(f"source=csv:{printable(path)} cannot be read ({error.strerror}); correct it") from None
    except UnicodeDecodeError:
        raise BadDataError(f"{printable(path)} is not UTF-8 text; save it as such") from None
    except _Unusable as error:
        raise BadDataError(f"{printable(path)}: line {line} {error}") from None
    return rows


def _values(path: str, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each row's line, and its values by column."""
    lines = (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(file))
    if path.lower().endswith(".jsonl"):
        told = False
        for number, line in enumerate(lines, 1):
            if line.strip():
                values = _object(path, number, line)
                _check_columns(path, list(values), tell=not told)
                told = True
                yield number, values
        return
    reader = csv.reader(lines, delimiter=DELIMITERS[Path(path).suffix.lower()], strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_columns(path, header, tell=True)
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
        values = parse_json(line)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise BadDataError(
            f'{printable(path)}: line {number} is no JSON object; write it as {{"path": "a.jpg", "label": "cat"}}'
        )
    return values


def _check_columns(path: str, columns: list[str], tell: bool) -> None:
    """Raises BadDataError for a column that is missing, there twice, or means what nothing here uses.

    tell: whether columns of another meaning, which are left out, are told.
    """
    place = printable(path)
    if missing := [name for name in NEEDED if name not in columns]:
        found = ", ".join(columns)[:_SHOWN] or "nothing"
        raise BadDataError(f"{place} has no column {missing[0]}, but {found}; name its columns in its first line")
    for name in (*NEEDED, *OPTIONAL):
        if columns.count(name) > 1:
            raise BadDataError(f"{place} has two columns {name}; remove or rename one")
    for name, reason in _UNUSED.items():
        if name in columns:
            raise BadDataError(f"{place} has a column {name}, and {reason}; remove or rename it")
    others = [name for name in columns if name not in (*NEEDED, *OPTIONAL)]
    if others and tell:
        logging.warning("%s: not read of its columns: %s", place, ", ".join(others))


def _row(line: int, values: dict[str, Any]) -> Row:
    """Raises _Unusable."""
    path, label, split = values["path"], classes.parsed(values["label"]), values.get("split") or ""
    if not isinstance(path, str) or not path or not _is_name(path):
        raise _Unusable(f"has the path {_shown(path)}; give the path of a picture")
    if label is None:
        raise _Unusable(f"has the label {_shown(values['label'])}; give a whole number or a text of one line")
    if not isinstance(split, str):
        raise _Unusable(f"has the split {_shown(split)}; give train, val or test")
    return Row(line, path, label, split.strip())


def _is_name(path: str) -> bool:
    """Whether a file can have this path: text without the zero byte and without halves of characters."""
    return "\0" not in path and not any("\ud800" <= character <= "\udfff" for character in path)


def _shown(value: Any) -> str:
    return json.dumps(value)[:_SHOWN]
