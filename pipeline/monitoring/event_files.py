"""TensorBoard's event files: written record by record, and cut back to the step that a run goes on from.

An event file is a TFRecord file of Event messages. TensorFlow's record writer is used directly, not TensorBoard's
EventFileWriter: that one writes in a thread, so a full disk shows only some calls later, and it names files by the
clock alone, so that after a move to a host whose clock is behind, TensorBoard (which reads files in the order of
their names) would take the newest for the oldest.
"""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
from tensorboard.plugins.text.metadata import PLUGIN_NAME as TEXT

from pipeline.storage.files import replacing, storage_errors, sync

# Of one record: its length (8 bytes), the length's checksum (4), the data, the data's checksum (4).
_FRAME_BYTES = 16


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Raises StorageError for what the file system refuses, also where TensorFlow is the one to say so."""
    with storage_errors(path):
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(None, str(error).rpartition("; ")[2]) from error


class EventFile:
    """A new event file in a directory of them, one run in TensorBoard. Every method writes through to the file.

    It begins by telling a TensorBoard that is already open to forget the steps after `start_step`.
    Not for use by two threads at once.
    """

    def __init__(self, directory: Path, start_step: int):
        """Raises StorageError, as every method does."""
        with _storage_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
            self._path = directory / f"events.out.tfevents.{_next_number(directory):010d}.{socket.gethostname()}"
            self._records = tf.io.TFRecordWriter(str(self._path))
        self.add(file_version="brain.Event:2")  # the first to know session logs
        self.add(step=start_step + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, **fields) -> None:
        """Appends one Event of these fields (step, and summary or graph_def), at the present time."""
        with _storage_errors(self._path):
            self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())
            self._records.flush()

    def sync(self) -> None:
        """Returns when all that was added would survive a power cut."""
        with _storage_errors(self._path):
            sync(self._path)

    def close(self) -> None:
        with _storage_errors(self._path):
            self._records.close()


def _next_number(directory: Path) -> int:
    """The present second, or one more than the last file's number, so that names rise whatever the clock says."""
    numbers = [int(path.name.split(".")[3]) for path in event_files(directory)]
    return max([int(time.time()), *(number + 1 for number in numbers)])


def event_files(directory: Path) -> list[Path]:
    """The event files in a directory, in the order in which TensorBoard reads them."""
    if not directory.is_dir():
        return []
    numbered = (path for path in directory.iterdir() if re.match(r"events\.out\.tfevents\.[0-9]+(\.|$)", path.name))
    return sorted(path for path in numbered if path.is_file())  # a pipe would be read for ever


def drop_after(directory: Path, start_step: int) -> None:
    """Drops from a directory's event files what a run that goes on from `start_step` tells again.

    That is every event of a later step; of that step itself the graph and the texts, which each start tells anew, and
    the end of the run, which is no end any more; of step 0, which no checkpoint stands for, all. With it goes a record
    cut short at the end of a file. Files that hold none of this stay untouched.
    Raises StorageError.
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
        at_start = event.HasField("file_version") or (start_step > 0 and not _told_anew(event))
        if event.step < start_step or (event.step == start_step and at_start):
            yield record


def _told_anew(event: Event) -> bool:
    texts = [value.metadata.plugin_data.plugin_name == TEXT for value in event.summary.value]
    ends = [value.tag == SESSION_END_INFO_TAG for value in event.summary.value]
    return event.HasField("graph_def") or any(texts + ends)
