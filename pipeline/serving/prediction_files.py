"""Files of predictions, written batch by batch: .csv, .jsonl and .parquet, with the same columns.

They are example, where, label, predicted, confidence, and the probability of each class. Of examples with any number of
labels they are example, where, labels, predicted, and the probabilities; labels and predicted are lists, in .csv joined
by |. Probabilities are those of float32 to the bit: 9 digits are enough for that.
"""

import contextlib
import csv
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from pipeline.errors import UsageError
from pipeline.storage.files import storage_errors

PREFIX = "probability_"  # of a class's column

Classes = list[str] | list[list[str]]  # one of each example, or any number


class Batch(NamedTuple):
    """Predictions of consecutive examples of a split."""

    examples: range  # their indices
    where: list[str]  # where a person finds each
    labels: Classes
    predicted: Classes
    probabilities: np.ndarray  # [examples, classes] float32


class Layout(NamedTuple):
    """The columns of a file."""

    class_names: Sequence[str]
    multi_label: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The columns before the probabilities."""
        if self.multi_label:
            return "example", "where", "labels", "predicted"
        return "example", "where", "label", "predicted", "confidence"

    def columns(self, batch: Batch) -> list[Any]:
        """These columns of a batch. Confidence is the probability of the predicted class, [examples] float32."""
        columns = [batch.examples, batch.where, batch.labels, batch.predicted]
        return columns if self.multi_label else [*columns, batch.probabilities.max(axis=1)]


Write = Callable[[Batch], None]
Form = Callable[[Path, Layout], contextlib.AbstractContextManager[Write]]


def json_lines(file: TextIO, layout: Layout) -> Write:
    """Writes an object a line."""

    def write(batch: Batch) -> None:
        columns = [c.tolist() if isinstance(c, np.ndarray) else c for c in layout.columns(batch)]
        for row, probabilities in zip(zip(*columns, strict=True), batch.probabilities.tolist(), strict=True):
            values = dict(zip(layout.names, row, strict=True))
            values["probabilities"] = dict(zip(layout.class_names, probabilities, strict=True))
            file.write(json.dumps(values) + "\n")

    return write


@contextlib.contextmanager
def _jsonl(path: Path, layout: Layout) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8") as file:
        yield json_lines(file, layout)


@contextlib.contextmanager
def _csv(path: Path, layout: Layout) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*layout.names, *(PREFIX + name for name in layout.class_names)])

        def write(batch: Batch) -> None:
            columns = [map(_cell, column) for column in layout.columns(batch)]
            for row, probabilities in zip(zip(*columns, strict=True), batch.probabilities.tolist(), strict=True):
                writer.writerow([*row, *(f"{probability:.9g}" for probability in probabilities)])

        yield write


def _cell(value: Any) -> Any:
    """A value of a column in .csv."""
    if isinstance(value, list):
        return "|".join(value)
    return f"{value:.9g}" if isinstance(value, np.float32) else value


@contextlib.contextmanager
def _parquet(path: Path, layout: Layout) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    classes = pa.list_(pa.string()) if layout.multi_label else pa.string()
    kinds = [pa.int64(), pa.string(), classes, classes, pa.float32()][: len(layout.names)]
    probabilities = [(PREFIX + name, pa.float32()) for name in layout.class_names]
    schema = pa.schema([*zip(layout.names, kinds, strict=True), *probabilities])
    with parquet.ParquetWriter(path, schema) as writer:

        def write(batch: Batch) -> None:
            columns = [*layout.columns(batch), *np.ascontiguousarray(batch.probabilities.T)]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))

        yield write


FORMS: dict[str, Form] = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}


def check(output: Path) -> None:
    """Raises UsageError for a file of no known form, or in no directory, or whose package is missing."""
    if output.suffix not in FORMS:
        raise UsageError(f"output={output} is of no known form; end its name with {', '.join(FORMS)}")
    if output.is_dir():
        raise UsageError(f"output={output} is a directory; name a file in it, as --output={output / 'test.csv'}")
    if not output.parent.is_dir():
        raise UsageError(f"output={output} lies in {output.parent}, which is no directory; make it first")
    if output.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError(
            f"output={output} needs pyarrow, which is not installed; pip install 'tower-pipeline[parquet]', or write "
            ".csv or .jsonl"
        )


@contextlib.contextmanager
def opened(output: Path, layout: Layout) -> Iterator[Write]:
    """Writes to a new file of the form that the name ends with. Raises StorageError."""
    with storage_errors(output), FORMS[output.suffix](output, layout) as write:
        yield write
