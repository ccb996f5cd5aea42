"""Event files on their own: their names, and records cut short."""

import os

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from told_run import curves, event_files

from pipeline.monitoring.event_files import drop_after
from pipeline.monitoring.journal import Journal


def test_event_files_are_named_in_the_order_of_their_steps_whatever_the_clock_says(tmp_path):
    directory = tmp_path / "tensorboard" / "train"
    directory.mkdir(parents=True)
    future = directory / "events.out.tfevents.4000000000.elsewhere"
    future.touch()
    for step in range(3):
        Journal(tmp_path, step)
    numbers = [int(path.name.split(".")[3]) for path in event_files(tmp_path)]
    assert numbers == [4000000000 + i for i in range(4)]


def test_a_record_cut_short_anywhere_is_dropped(tmp_path):
    Journal(tmp_path, 0).scalars("train", 1, {"loss": 1.0})
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


def test_a_start_from_the_beginning_tells_step_0_anew(tmp_path):
    for number in range(3):
        Journal(tmp_path, 0).histograms(0, {"kernel": np.full(5, float(number))})
    [(step, _, buckets)] = curves(tmp_path)["train", "kernel"]
    assert (step, buckets[-1][1]) == (0, 2.0)
    Journal(tmp_path, 5).histograms(7, {"kernel": np.zeros(5)})
    assert [step for step, _, _ in curves(tmp_path)["train", "kernel"]] == [0, 7]


def test_what_is_no_event_file_is_not_read(tmp_path):
    Journal(tmp_path, 0).scalars("train", 1, {"loss": 1.0})
    directory = tmp_path / "tensorboard" / "train"
    os.mkfifo(directory / "events.out.tfevents.1.pipe")
    (directory / "events.out.tfevents.2.link").symlink_to("nothing")
    (directory / "events.out.tfevents.3x.no_number").write_text("?")
    Journal(tmp_path, 1).scalars("train", 2, {"loss": 2.0})
    for name in ("1.pipe", "2.link", "3x.no_number"):
        (directory / f"events.out.tfevents.{name}").unlink()
    assert [step for step, *_ in curves(tmp_path)["train", "curves/loss"]] == [1, 2]
