"""What a run tells: people through progress lines and TensorBoard, programs through metrics.jsonl.

metrics.jsonl holds one JSON object a line: {"event": ..., "step": ..., "time": Unix seconds, ...values}. It is strict
JSON, so a value that is no finite number (nan, inf) is null. TensorBoard shows one run for each split, with equal
tags, so that their curves share one chart and its step axis.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb

from pipeline.events import EventFile, drop_after
from pipeline.exits import StorageError
from pipeline.storage import replacing, storage_errors


class Journal:
    """The one owner of a run directory's metrics.jsonl and tensorboard/, and of what goes to stdout.

    Everything told is at once in its file, where another process can read it. `event` may be called from any thread,
    the rest from one. Every method raises StorageError as soon as a file, or stdout, cannot be written.
    """

    def __init__(self, run_dir: Path, start_step: int):
        """Drops what was told of steps after `start_step`, so that no reader sees a step twice; then appends."""
        self._start_step = start_step
        self._tensorboard = run_dir / "tensorboard"
        self._path = run_dir / "metrics.jsonl"
        with storage_errors(self._path):
            run_dir.mkdir(parents=True, exist_ok=True)
            _drop_lines_after(self._path, start_step)
            self._lines = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        splits = sorted({path.parent for path in self._tensorboard.glob("*/events.out.tfevents.*")})
        for split in splits:
            drop_after(split, start_step)
        self._event_files = {split.name: EventFile(split, start_step) for split in splits}

    def event(self, event: str, step: int, **values: Any) -> None:
        """Appends a line to metrics.jsonl."""
        self._append(_line(event, step, values))

    def scalars(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Tells numbers of a split ('train', 'validation', 'test'): a line of that name, and a point in each chart."""
        self.event(split, step, **values)
        points = [scalar_pb(tag, value) for tag, value in values.items()]
        self._event_file(split).add(step=step, summary=_merged(points))

    def histograms(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Shows how each array's finite values are distributed."""
        shown = [histogram_pb(tag, array[np.isfinite(array)]) for tag, array in arrays.items()]
        self._event_file("train").add(step=step, summary=_merged(shown))

    def graph(self, graph_def: tf.compat.v1.GraphDef) -> None:
        """Shows the graph; the last one told is seen."""
        self._event_file("train").add(step=self._start_step, graph_def=graph_def.SerializeToString())

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Shows a text, such as `markdown_table` makes."""
        self._event_file("train").add(step=step, summary=text_pb(tag, markdown))

    def progress(self, line: str) -> None:
        """Prints a line for people."""
        _print(line)

    def result(self, step: int, **values: Any) -> None:
        """Ends a finished run: appends the result line, and prints the same line, to be the last on stdout."""
        line = _line("result", step, values)
        self._append(line)
        _print(line)

    def flush(self) -> None:
        """Returns when all that was told so far would survive a power cut."""
        with storage_errors(self._path):
            os.fsync(self._lines)
        for event_file in self._event_files.values():
            event_file.sync()

    def close(self) -> None:
        """Ends the journal; nothing can be told after it."""
        os.close(self._lines)
        for event_file in self._event_files.values():
            event_file.close()

    def _append(self, line: str) -> None:
        rest = f"{line}\n".encode()
        with storage_errors(self._path):
            while rest:  # one write, unless the disk is full: then the next one says why
                rest = rest[os.write(self._lines, rest) :]

    def _event_file(self, split: str) -> EventFile:
        if split not in self._event_files:
            self._event_files[split] = EventFile(self._tensorboard / split, self._start_step)
        return self._event_files[split]


class Aside(Journal):
    """The journal of a worker that is not the chief: progress goes to its own log, all else is the chief's to tell."""

    def __init__(self, log: IO[str], start_step: int):
        self._start_step, self._log = start_step, log

    def progress(self, line: str) -> None:
        """Notes a line for people, with the time of day."""
        self._log.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def flush(self) -> None:
        """Returns at once: there is nothing that must survive."""

    def close(self) -> None:
        """Ends the log."""
        self._log.close()

    def result(self, step: int, **values: Any) -> None:
        """Notes the result line."""
        self.progress(_line("result", step, values))

    def _append(self, line: str) -> None:
        pass

    def _event_file(self, split: str) -> EventFile:
        return _NOWHERE


class _Nowhere(EventFile):
    """An event file that keeps nothing."""

    def __init__(self) -> None:
        pass

    def add(self, **fields) -> None:
        """Forgets an event."""


_NOWHERE = _Nowhere()


def markdown_table(values: Mapping[str, Any]) -> str:
    """A Markdown table of names and values, each in code quotes so that `_`, `*` and `|` mean themselves."""
    rows = [f"| `{name}` | `{value}` |" if str(value) else f"| `{name}` | |" for name, value in values.items()]
    return "\n".join(["| name | value |", "|---|---|", *rows])


def _merged(summaries: list[Summary]) -> Summary:
    return Summary(value=[value for summary in summaries for value in summary.value])


def _line(event: str, step: int, values: Mapping[str, Any]) -> str:
    return json.dumps(_plain({"event": event, "step": step, "time": round(time.time(), 3), **values}), allow_nan=False)


def _plain(value: Any) -> Any:
    """The same in types that JSON has: NumPy's become Python's, what is not finite becomes None."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError as error:
        # What stdout still holds would fail again as Python ends, and replace the exit code by 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StorageError(f"stdout cannot be written: {error.strerror}; send it to a file") from error


def _drop_lines_after(path: Path, start_step: int) -> None:
    """Rewrites metrics.jsonl without later steps and without a torn last line; untouched if it holds neither."""
    content = path.read_bytes() if path.exists() else b""
    kept = b"".join(line + b"\n" for line, step in _lines_and_steps(path, content) if step <= start_step)
    if kept != content:
        with replacing(path) as new:
            new.write_bytes(kept)


def _lines_and_steps(path: Path, content: bytes) -> Iterator[tuple[bytes, int]]:
    """The whole lines and the step of each. Raises StorageError for one that is not of ours.

    A kill in the middle of a write leaves a part of a line, which is the last and without an end; it is left out.
    """
    *lines, _torn = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            yield line, int(json.loads(line)["step"])
        except (ValueError, TypeError, KeyError):
            raise StorageError(
                f"{path}:{number}: '{line[:60].decode(errors='replace')}' is not a line of metrics; "
                "mend or delete that line, then start the same command again"
            ) from None
