"""Files of predictions, written batch by batch: .csv, .jsonl and .parquet, with the same columns.

They are example, where, label, predicted, confidence, and the probability of each class. Probabilities are those of
float32 to the bit: 9 digits are enough for that.
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


class Batch(NamedTuple):
    """Predictions of consecutive examples of a split."""

    examples: range  # their indices
    where: list[str]  # where a person finds each
    labels: list[str]
    predicted: list[str]
    probabilities: np.ndarray  # [examples, classes] float32

    @property
    def confidence(self) -> np.ndarray:
        """The probability of each predicted class: [examples] float32."""
        return self.probabilities.max(axis=1)


Write = Callable[[Batch], None]
Form = Callable[[Path, Sequence[str]], contextlib.AbstractContextManager[Write]]


def json_lines(file: TextIO, class_names: Sequence[str]) -> Write:
    """Writes an object a line."""

    def write(batch: Batch) -> None:
        columns = (batch.examples, batch.where, batch.labels, batch.predicted, batch.confidence.tolist())
        for row, probabilities in zip(zip(*columns, strict=True), batch.probabilities.tolist(), strict=True):
            values = dict(zip(_COLUMNS, row, strict=True))
            values["probabilities"] = dict(zip(class_names, probabilities, strict=True))
            file.write(json.dumps(values) + "\n")

    return write


_COLUMNS = ("example", "where", "label", "predicted", "confidence")


@contextlib.contextmanager
def _jsonl(path: Path, class_names: Sequence[str]) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8") as file:
        yield json_lines(file, class_names)


@contextlib.contextmanager
def _csv(path: Path, class_names: Sequence[str]) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_COLUMNS, *(PREFIX + name for name in class_names)])

        def write(batch: Batch) -> None:
            numbers = np.column_stack([batch.confidence, batch.probabilities]).tolist()
            columns = (batch.examples, batch.where, batch.labels, batch.predicted)
            for row, values in zip(zip(*columns, strict=True), numbers, strict=True):
                writer.writerow([*row, *(f"{value:.9g}" for value in values)])

        yield write


@contextlib.contextmanager
def _parquet(path: Path, class_names: Sequence[str]) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    kinds: list[Any] = [pa.int64(), pa.string(), pa.string(), pa.string(), pa.float32()]
    fields = [*zip(_COLUMNS, kinds, strict=True), *((PREFIX + name, pa.float32()) for name in class_names)]
    schema = pa.schema(fields)
    with parquet.ParquetWriter(path, schema) as writer:

        def write(batch: Batch) -> None:
            columns = [list(batch.examples), batch.where, batch.labels, batch.predicted, batch.confidence]
            arrays = [*columns, *np.ascontiguousarray(batch.probabilities.T)]
            writer.write_table(pa.table([pa.array(a, f.type) for a, f in zip(arrays, schema, strict=True)], schema))

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
def opened(output: Path, class_names: Sequence[str]) -> Iterator[Write]:
    """Writes to a new file of the form that the name ends with. Raises StorageError."""
    with storage_errors(output), FORMS[output.suffix](output, class_names) as write:
        yield write
