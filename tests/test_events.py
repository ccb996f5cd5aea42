"""Event files on their own: their names, and records cut short."""

import tensorflow as tf
from told_run import event_files

from pipeline import events
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
    record = tf.io.TFRecordWriter(str(tmp_path / "record"))
    record.write(b"\x11" + bytes(8) + b"\x10\x02")  # an Event of step 2
    record.close()
    for cut in range(len((tmp_path / "record").read_bytes())):
        path.write_bytes(whole + (tmp_path / "record").read_bytes()[:cut])
        events.drop_after(path.parent, 5)
        assert path.read_bytes() == whole
    path.write_bytes(whole + (tmp_path / "record").read_bytes())
    events.drop_after(path.parent, 5)
    assert path.read_bytes() != whole
