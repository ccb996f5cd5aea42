"""Event files on their own: their names, and records cut short."""

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from told_run import event_files

from pipeline.events import drop_after
from pipeline.report import Report


def test_event_files_are_named_in_the_order_of_their_steps_whatever_the_clock_says(tmp_path):
    directory = tmp_path / "tensorboard" / "train"
    directory.mkdir(parents=True)
    future = directory / "events.out.tfevents.4000000000.elsewhere"
    future.touch()
    for step in range(3):
        Report(tmp_path, step)
    numbers = [int(path.name.split(".")[3]) for path in event_files(tmp_path)]
    assert numbers == [4000000000 + i for i in range(4)]


def test_a_record_cut_short_anywhere_is_dropped(tmp_path):
    Report(tmp_path, 0).scalars("train", 1, {"loss": 1.0})
    [path] = event_files(tmp_path)
    whole = path.read_bytes()
    with tf.io.TFRecordWriter(str(tmp_path / "record")) as record:
        record.write(Event(step=2, wall_time=1.0).SerializeToString())
    record = (tmp_path / "record").read_bytes()
    for cut in range(len(record)):
        path.write_bytes(whole + record[:cut])
        drop_after(path.parent, 5)
        assert path.read_bytes() == whole
    path.write_bytes(whole + record)
    drop_after(path.parent, 5)
    assert path.read_bytes() == whole + record
