"""The journal of a run: progress lines and TensorBoard for people, metrics.jsonl for programs.

history.py describes a line. TensorBoard shows each split as a run with equal tags, so that the splits' curves share one
chart. The run above the splits holds the row in the HParams table.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb

from pipeline.monitoring import summaries
from pipeline.monitoring.event_files import EventFile, drop_after, event_files
from pipeline.monitoring.history import History, Line
from pipeline.monitoring.terminal import Terminal
from pipeline.storage.files import replacing, storage_errors

SCORED = ("validation", "test")  # splits whose line is written last, after a step's points and pictures


class Journal:
    """The only writer of a run directory's metrics.jsonl and tensorboard/. Lines for people go to a terminal.

    Every call writes through to its file, where another process can read it. Any thread may call `event`; one thread
    calls the others. Every method raises StorageError as soon as a file, or stdout, cannot be written.
    """

    def __init__(
        self, run_dir: Path, start_step: int, terminal: Terminal | None = None, history: History | None = None
    ):
        """Drops lines and events of steps after `start_step`, so that no reader sees a step twice; then appends.

        If a kill came before the line of the scores of `start_step` itself, their points and pictures are dropped too.
        history: the history of this directory, if the caller has read it.
        """
        self.terminal = terminal or Terminal()
        self._tensorboard = run_dir / "tensorboard"
        self._path = run_dir / "metrics.jsonl"
        self.history = History.read(self._path) if history is None else history
        self.history.check()
        with storage_errors(self._path):
            run_dir.mkdir(parents=True, exist_ok=True)
        self._open(start_step)

    def _open(self, step: int) -> None:
        self._start_step = step
        self.history.cut(step)
        with storage_errors(self._path):
            _rewrite(self._path, self.history)
            self._lines = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._event_files = {run: self._go_on(run, step) for run in self._runs()}

    def go_back(self, step: int) -> None:
        """Drops lines and events of steps after this one, as at a start from it."""
        self.close()
        self._open(step)

    def event(self, event: str, step: int, **values: Any) -> None:
        """Appends a line to metrics.jsonl."""
        self._append(_line(event, step, values))

    def scalars(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Reports numbers of a split ('train', 'validation', 'test'): a point in each chart, and a line of that name.

        For a split in SCORED, call this last: its line means that the report of this step is complete.
        """
        self.points(split, step, values)
        self.event(split, step, **values)

    def points(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Shows numbers of a split in charts only."""
        self._show(split, step, [summaries.scalar(name, value) for name, value in values.items()])

    def histograms(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Shows a histogram of each array's finite values."""
        self._show("train", step, [summaries.histogram(tag, array) for tag, array in arrays.items()])

    def pictures(self, split: str, step: int, images: Mapping[str, Image.Image]) -> None:
        """Shows images."""
        self._show(split, step, [summaries.picture(tag, image) for tag, image in images.items()])

    def whole_run(self, step: int, shown: list[Summary]) -> None:
        """Shows summaries of the run as a whole, which belong to no split."""
        self._show("", step, shown)

    def graph(self, graph_def: tf.compat.v1.GraphDef) -> None:
        """Shows the graph, in place of an earlier one."""
        self._event_file("train").add(step=self._start_step, graph_def=graph_def.SerializeToString())

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Shows a text, such as `markdown_table` makes."""
        self._show("train", step, [text_pb(tag, markdown)])

    def progress(self, line: str) -> None:
        """Prints a line for people."""
        self.terminal.line(line)

    def result(self, step: int, **values: Any) -> None:
        """Ends a finished run: appends the result line, and prints it as the last line on stdout."""
        line = _line("result", step, values)
        self._append(line)
        self.terminal.result(line)

    def flush(self) -> None:
        """Returns when everything written so far would survive a power cut."""
        with storage_errors(self._path):
            os.fsync(self._lines)
        for event_file in self._event_files.values():
            event_file.sync()

    def close(self) -> None:
        """Ends the journal; no method may be called after it."""
        self.terminal.clear()
        os.close(self._lines)
        for event_file in self._event_files.values():
            event_file.close()

    def _append(self, line: str) -> None:
        self.history.add(Line(line.encode(), json.loads(line)))
        rest = f"{line}\n".encode()
        with storage_errors(self._path):
            while rest:  # one write is enough, unless the disk is full; then the next one raises the error
                rest = rest[os.write(self._lines, rest) :]

    def _show(self, run: str, step: int, shown: list[Summary]) -> None:
        merged = Summary(value=[value for summary in shown for value in summary.value])
        self._event_file(run).add(step=step, summary=merged)

    def _event_file(self, run: str) -> EventFile:
        if run not in self._event_files:
            self._event_files[run] = EventFile(self._tensorboard / run, self._start_step)
        return self._event_files[run]

    def _runs(self) -> list[str]:
        """The names of the runs in tensorboard/: splits, and '' for the run above them."""
        if not self._tensorboard.is_dir():
            return []
        below = [path for path in self._tensorboard.iterdir() if path.is_dir() and event_files(path)]
        return sorted([path.name for path in below] + ([""] if event_files(self._tensorboard) else []))

    def _go_on(self, run: str, start_step: int) -> EventFile:
        """A new event file for a run in TensorBoard, after the events of dropped steps are gone."""
        torn = start_step > 0 and run in SCORED and not self.history.has(run, start_step)
        last = start_step - 1 if torn else start_step
        drop_after(self._tensorboard / run, last)
        return EventFile(self._tensorboard / run, last)


class FollowerJournal(Journal):
    """The journal of a follower: progress goes to its own log, and only the chief reports the rest."""

    def __init__(self, log: IO[str], start_step: int):
        self.terminal, self._start_step, self._log = Terminal(quiet=True), start_step, log
        self.history = History()

    def go_back(self, step: int) -> None:
        """Leaves all that was told to the chief."""

    def progress(self, line: str) -> None:
        """Writes a line to the log, with the time of day."""
        self._log.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def flush(self) -> None:
        """Returns at once: a follower's log need not survive a power cut."""

    def close(self) -> None:
        """Ends the log."""
        self._log.close()

    def result(self, step: int, **values: Any) -> None:
        """Writes the result line to the log."""
        self.progress(_line("result", step, values))

    def _append(self, line: str) -> None:
        """Leaves a line to the chief."""

    def _event_file(self, split: str) -> EventFile:
        return _NOWHERE


class _Nowhere(EventFile):
    """An event file that drops every event."""

    def __init__(self) -> None:
        pass

    def add(self, **fields: Any) -> None:
        """Drops an event."""


_NOWHERE = _Nowhere()


def markdown_table(values: Mapping[str, Any]) -> str:
    """A Markdown table of names and values. Code quotes keep `_`, `*` and `|` from being read as markup."""
    rows = [f"| `{name}` | `{value}` |" if str(value) else f"| `{name}` | |" for name, value in values.items()]
    return "\n".join(["| name | value |", "|---|---|", *rows])


def _line(event: str, step: int, values: Mapping[str, Any]) -> str:
    return json.dumps(plain({"event": event, "step": step, "time": round(time.time(), 3), **values}), allow_nan=False)


def plain(value: Any) -> Any:
    """The value in types of strict JSON: those of NumPy become Python's, and a number that is not finite None."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rewrite(path: Path, history: History) -> None:
    """Makes the file hold exactly these lines. A file that holds them already stays untouched."""
    wanted = b"".join(line.text + b"\n" for line in history.lines)
    if wanted != (path.read_bytes() if path.exists() else b""):
        with replacing(path) as new:
            new.write_bytes(wanted)
