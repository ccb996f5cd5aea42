"""TensorBoard's event files: written record by record, and cut back to the step that a run goes on from.

An event file is a TFRecord file of Event messages. TensorFlow's record writer writes it, not TensorBoard's
EventFileWriter, which has two faults. It writes in a thread, so a full disk shows only some calls later. And it names
files by the clock alone. TensorBoard reads files in the order of their names: after a move to a host whose clock is
behind, it would take the newest file for the oldest.
"""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
from tensorboard.plugins.text.metadata import PLUGIN_NAME as TEXT

from pipeline.storage.files import replacing, storage_errors, sync

# The frame of one record: its length (8 bytes), the length's checksum (4), and after the data its checksum (4).
_FRAME_BYTES = 16


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Raises StorageError for errors of the file system, also where TensorFlow reports them."""
    with storage_errors(path):
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(None, str(error).rpartition("; ")[2]) from error


class EventFile:
    """A new event file in a directory that TensorBoard shows as one run. Every method writes through to the file.

    Its first event makes a TensorBoard that is already open forget the steps after `start_step`.
    Two threads must not use it at once.
    """

    def __init__(self, directory: Path, start_step: int):
        """Raises StorageError, like every method."""
        with _storage_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            self._path = directory / f"events.out.tfevents.{_next_number(directory):010d}.{socket.gethostname()}"
            self._records = tf.io.TFRecordWriter(str(self._path))
        self.add(file_version="brain.Event:2")  # the first version with session logs
        self.add(step=start_step + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, **fields: Any) -> None:
        """Appends one Event with these fields (step, and summary or graph_def) and the present time."""
        with _storage_errors(self._path):
            self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())
            self._records.flush()

    def sync(self) -> None:
        """Returns when all added events would survive a power cut."""
        with _storage_errors(self._path):
            sync(self._path)

    def close(self) -> None:
        """Closes the file."""
        with _storage_errors(self._path):
            self._records.close()


def _next_number(directory: Path) -> int:
    """The present second, or one more than the last file's number: names rise even where the clock goes back."""
    numbers = [int(path.name.split(".")[3]) for path in event_files(directory)]
    return max([int(time.time()), *(number + 1 for number in numbers)])


def event_files(directory: Path) -> list[Path]:
    """The event files in a directory, in the order in which TensorBoard reads them."""
    if not directory.is_dir():
        return []
    numbered = (path for path in directory.iterdir() if re.match(r"events\.out\.tfevents\.[0-9]+(\.|$)", path.name))
    return sorted(path for path in numbered if path.is_file())  # a pipe would be read for ever


def drop_after(directory: Path, start_step: int) -> None:
    """Drops the events that a run writes again when it goes on from `start_step`.

    * Of later steps, all events.
    * Of `start_step` itself, the graph and the texts, which every start writes anew, and the end of the run. At step 0,
      all events: no checkpoint holds that step.
    * A record that is cut short at the end of a file.

    Files without such events stay untouched. Raises StorageError.
    """
    for path in event_files(directory):
        with _storage_errors(path):
            if sum(len(record) + _FRAME_BYTES for record in _kept(path, start_step)) != path.stat().st_size:
                with replacing(path) as new, tf.io.TFRecordWriter(str(new)) as records:
                    for record in _kept(path, start_step):
                        records.write(record)


def _kept(path: Path, start_step: int) -> Iterator[bytes]:
    """The records to keep, up to the first that is not whole; TensorBoard reads no further either."""
    for record in RawEventFileLoader(str(path)).Load():
        event = Event.FromString(record)
        stays_at_start = event.HasField("file_version") or (start_step > 0 and not _is_written_anew(event))
        if event.step < start_step or (event.step == start_step and stays_at_start):
            yield record


def _is_written_anew(event: Event) -> bool:
    texts = [value.metadata.plugin_data.plugin_name == TEXT for value in event.summary.value]
    ends = [value.tag == SESSION_END_INFO_TAG for value in event.summary.value]
    return event.HasField("graph_def") or any(texts + ends)
