"""A data set written as TFRecord shards: the same examples in the same order, the same bytes after any interruption."""

import numpy as np
import pytest
import tensorflow as tf
from commands import contents
from picture_folders import fill, picture, write

from pipeline import sources
from pipeline.config import Config
from pipeline.datasets import converting
from pipeline.errors import UsageError


@pytest.fixture
def source(tmp_path):
    """A folder whose classes are numbered by a file; the first has no pictures."""
    fill(tmp_path / "data" / "train")
    fill(tmp_path / "data" / "test", 2)
    (tmp_path / "names").write_text("cow\nbee\nant\n")
    return Config(
        source=f"folder:{tmp_path}/data",
        class_names=str(tmp_path / "names"),
        validation_fraction=0.25,
        image_size="6x5",
    )


def convert(config, directory, shard_examples=4, done=lambda number: None):
    converting.convert(sources.open_splits(config), directory, shard_examples, done)


def examples(splits):
    for split in vars(splits).values():
        raw, labels = split.fetch(tf.range(len(split), dtype=tf.int64))
        yield split.decode(raw).numpy(), labels.numpy()


def converted(directory, **fields):
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in converting.flags_of(directory))
    return sources.open_splits(Config(**flags, **fields))


def test_the_same_examples_in_the_same_order(source, tmp_path):
    convert(source, tmp_path / "out [1]")
    before, after = sources.open_splits(source), converted(tmp_path / "out [1]")
    assert after.train.class_names == ("cow", "bee", "ant")
    for (pixels, labels), (new_pixels, new_labels) in zip(examples(before), examples(after), strict=True):
        np.testing.assert_array_equal(pixels, new_pixels)
        np.testing.assert_array_equal(labels, new_labels)
    assert sorted(path.name for path in (tmp_path / "out [1]").iterdir() if path.suffix == ".tfrecord") == [
        "test-00000-of-00001.tfrecord",
        *(f"train-0000{i}-of-00003.tfrecord" for i in range(3)),
        "validation-00000-of-00001.tfrecord",
    ]


def nested(tmp_path, names):
    """A folder of pictures below its classes, and a flat one of the same files."""
    for i, name in enumerate(names):
        of_class, _, file = name.split("/")
        write(tmp_path / "nested" / name, picture(i))
        write(tmp_path / "flat" / of_class / file, picture(i))
    return [Config(source=f"folder:{tmp_path}/{kind}", validation_fraction=0.25) for kind in ("nested", "flat")]


def test_a_folder_of_nested_directories_has_the_order_of_a_flat_one(tmp_path):
    deep, flat = nested(tmp_path, [f"{'ab'[i % 2]}/{i % 3}/{i}.png" for i in range(12)])
    expected = list(examples(sources.open_splits(flat)))
    convert(deep, tmp_path / "out")
    for splits in (sources.open_splits(deep), converted(tmp_path / "out")):
        np.testing.assert_equal(list(examples(splits)), expected)


@pytest.mark.parametrize(
    "names",
    [
        ["a/1/x.png", "a/2/x.png", "b/3/x.png", "b/4/x.png", "b/5/y.png", "b/6/z.png"],
        ["a/1/x.png", "b/1/x.png", "a/2/x.png", "b/2/x.png", "a/3/x.png", "b/4/z.png"],
    ],
)
def test_files_of_one_name_in_a_class_keep_their_order(tmp_path, names):
    deep, _ = nested(tmp_path, names)
    convert(deep, tmp_path / "out")
    np.testing.assert_equal(*(list(examples(s)) for s in (sources.open_splits(deep), converted(tmp_path / "out"))))


def test_names_without_a_class_keep_their_order_too(source, tmp_path):
    for i in range(9):
        write(tmp_path / f"{i}.png", picture(i))
    rows = [f"{i}.png,{'ab'[i % 2]},{'test' if i > 6 else 'train'}\n" for i in range(9)]
    (tmp_path / "list.csv").write_text("path,label,split\n" + "".join(rows))
    table = Config(source=f"csv:{tmp_path}/list.csv", validation_fraction=0.3)
    convert(table, tmp_path / "out")
    for (pixels, labels), (new_pixels, new_labels) in zip(
        examples(sources.open_splits(table)), examples(converted(tmp_path / "out")), strict=True
    ):
        np.testing.assert_array_equal(pixels, new_pixels)
        np.testing.assert_array_equal(labels, new_labels)


def test_pixels_without_files_become_pictures(tmp_path):
    fake = Config(source="fake:40", validation_fraction=0.25)
    convert(fake, tmp_path / "out")
    for (pixels, labels), (new_pixels, new_labels) in zip(
        examples(sources.open_splits(fake)), examples(converted(tmp_path / "out")), strict=True
    ):
        old = {(label, image.tobytes()) for image, label in zip(pixels, labels, strict=True)}
        assert old == {(label, image.tobytes()) for image, label in zip(new_pixels, new_labels, strict=True)}


@pytest.mark.parametrize("stop_at", range(1, 5))
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(source, tmp_path, stop_at):
    convert(source, tmp_path / "whole")
    told = []

    def stop(number):
        told.append(number)
        if len(told) == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "out", done=stop)
    work = tmp_path / "out.unfinished"
    assert not (tmp_path / "out").exists() and len(list(work.glob("*.tfrecord"))) == stop_at
    (work / ".train-00002-of-00003.tfrecord.1").write_bytes(b"of a process that was killed")
    kept = {path: path.stat().st_mtime_ns for path in work.glob("*.tfrecord")}
    convert(source, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert all((tmp_path / "out" / path.name).stat().st_mtime_ns == time for path, time in kept.items())
    assert not work.exists()


def test_what_is_whole_is_left_and_all_else_refused(source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    convert(source, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    done = []
    convert(source, out, done=done.append)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before and sum(done) == 16
    said = f"{out} holds another conversion or other files; give another directory, or remove that one"
    with pytest.raises(UsageError) as caught:
        convert(source, out, shard_examples=5)
    assert str(caught.value) == said
    write(tmp_path / "data" / "train" / "ant" / "new.png", picture(77))
    with pytest.raises(UsageError):
        convert(source, out)
    (out / "conversion.json").write_text("[" * 100_000)
    with pytest.raises(UsageError):
        convert(source, out)
    (tmp_path / "file.unfinished").write_text("")
    with pytest.raises(UsageError, match=r"file\.unfinished holds"):
        convert(source, tmp_path / "file")
