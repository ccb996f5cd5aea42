"""TFRecord files: the records found, their labels, the index that is kept, and what is refused."""

import os

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from picture_folders import encoded, fill
from PIL import Image
from shard_files import example, imagenet_records, write_records

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import checksums, classes, decoding, shards, tfrecord
from pipeline.sources.shard_files import LocalFiles


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two shards for training and one for validation, of 16 pictures in all."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fill(tmp_path / "train")
    fill(tmp_path / "val", 2)
    directory = tmp_path / "records"
    directory.mkdir()
    records = imagenet_records(tmp_path / "train")
    write_records(directory / "train-00000-of-00002", records[:5])
    write_records(directory / "train-00001-of-00002", records[5:])
    write_records(directory / "validation-00000-of-00001", imagenet_records(tmp_path / "val"))
    return directory


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


def open_splits(root, pattern="*", **flags):
    return sources.open_splits(Config(**{"source": f"tfrecord:{root}/{pattern}", "validation_fraction": 0.25, **flags}))


def all_of(source):
    raw, labels = source.fetch(tf.range(len(source), dtype=tf.int64))
    return source.decode(raw).numpy()[:, 0, 0, 0].tolist(), labels.numpy().tolist()


def refusal(root, error=BadDataError, **flags):
    with pytest.raises(error) as caught:
        open_splits(root, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


SERIES = {
    ("0-of-3", "1-of-3", "2-of-3"): None,
    ("1-of-2", "2-of-2"): None,
    ("train-0-of-2", "train-1-of-2", "test-0-of-1"): None,
    ("train-001-of-004.x", "train-003-of-004.x", "train-0-of-1.y"): ("train-*-of-004.x", "2 of 4 shards are", 0),
    ("1-of-4", "2-of-4", "4-of-4"): ("*-of-4", "3 of 4 shards are", 3),
    ("0-of-999999999",): ("*-of-999999999", "1 of 999999999 shards is", 1),
}


@pytest.mark.parametrize("names", SERIES)
def test_shards_that_are_missing_by_their_names_are_told(names, tmp_path, said):
    directory = tmp_path / "7-of-9"
    directory.mkdir()
    for name in names:
        (directory / name).touch()
    told = []
    if SERIES[names]:
        name, there, first = SERIES[names]
        end = f"the first that is missing has the number {first}; those that are there are read"
        told = [f"{directory}/{name}: {there} there, {end}"]
    shards.find(LocalFiles(Config()), "tfrecord", f"{directory}/*", needs_train=False)
    assert said == told


def test_records_of_imagenets_scripts(root, said):
    splits = open_splits(root)
    assert splits.train.class_names == ("ant", "bee") and splits.train.image_shape == (6, 5, 1)
    assert said == [f"tfrecord:{root}/* has no test split with labels: its validation split is used for testing"]
    levels, labels = all_of(splits.train)
    held_out, _ = all_of(splits.validation)
    assert sorted(levels + held_out) == [*range(10, 16), *range(200, 206)]
    assert labels == [int(level >= 200) for level in levels] and sorted(all_of(splits.test)[0]) == [10, 11, 200, 201]
    path, _, number = splits.train.where(0).partition(": record ")
    content = list(tf.data.TFRecordDataset(path).as_numpy_iterator())[int(number)]
    pixels = tf.train.Example.FromString(content).features.feature["image/encoded"].bytes_list.value[0]
    assert tf.io.decode_image(pixels).numpy()[0, 0, 0] == levels[0]


def test_records_of_tfds(tmp_path):
    records = [
        example({"image": tf.io.encode_png(np.full([6, 5, 1], 10 * i, np.uint8)).numpy(), "label": i % 3, "id": "x"})
        for i in range(20)
    ]
    write_records(tmp_path / "toy-train.tfrecord-00000-of-00001", records)
    splits = open_splits(tmp_path)
    assert splits.train.class_names == ("0", "1", "2")
    found = [all_of(split) for split in vars(splits).values()]
    assert sorted(level for levels, _ in found for level in levels) == [10 * i for i in range(20)]
    assert all(labels == [level // 10 % 3 for level in levels] for levels, labels in found)


def test_other_keys_and_labels_from_0(root, tmp_path):
    for path in root.iterdir():
        path.unlink()
    for split in ("train", "test"):
        records = [tf.train.Example.FromString(record) for record in imagenet_records(tmp_path / "train", 0)]
        changed = []
        for record in records:
            values = record.features.feature
            changed.append(
                example(
                    {
                        "x": values["image/encoded"].bytes_list.value[0],
                        "y": values["image/class/label"].int64_list.value[0],
                    }
                )
            )
        write_records(root / f"{split}.tfrecord", changed)
    message = refusal(root)
    assert message == (
        f"{root}/train.tfrecord: record 0 has no image/encoded or image, but x, y; name the right one with "
        "--record_image_key"
    )
    splits = open_splits(root, record_image_key="x", record_label_key="y")
    levels, labels = all_of(splits.test)
    assert labels == [int(level >= 200) for level in levels] and splits.test.class_names == ("0", "1")
    assert "record 0 has no z, but x, y; name one that is there" in refusal(
        root, record_image_key="x", record_label_key="z"
    )


def test_names_from_a_file(root, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("Ameise\nBiene\n")
    assert open_splits(root, class_names=str(names)).train.class_names == ("Ameise", "Biene")
    names.write_text("Ameise\nBiene\nCikade\n")  # labels from 0, then; 0 has no example
    splits = open_splits(root, class_names=str(names))
    assert set(all_of(splits.train)[1]) == {1, 2}
    names.write_text("Ameise\n")
    assert (
        f"has the label 2, which is no class; 1 classes are numbered from 0, as --class_names={names} say"
        in refusal(root, class_names=str(names))
    )
    names.write_text("a\na\n")
    assert "has lines that are empty, equal" in refusal(root, class_names=str(names))
    assert "cannot be read" in refusal(root, class_names=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [([0, 1], [0, 1]), ([0, 2], [0, 2]), ([2, 3], [1, 2]), ([3], [2]), ([1, 2], None), ([1], None)],
)
def test_a_models_classes_are_numbered_from_0_or_1_only_where_the_labels_tell(labels, numbers):
    found = {"test": [classes.numbered(labels, "FILE")]}
    named = classes.Names(("ant", "bee", "cow"), "the model", of_other_data=True)
    if numbers is None:
        with pytest.raises(BadDataError, match=r"NAME has the labels 1 to ., which may be numbered from 0 or from 1: "):
            classes.resolve("NAME", found, named)
    else:
        names, by_split = classes.resolve("NAME", found, named)
        assert names == ("ant", "bee", "cow") and by_split["test"].tolist() == numbers


def test_a_model_is_evaluated_on_data_without_training_examples(root):
    named = classes.Names(("ant", "bee"), "the model", of_other_data=True)
    own = sources.own_splits(Config(source=f"tfrecord:{root}/val*"), named)
    assert list(own) == ["validation"] and all_of(own["validation"])[0] == all_of(open_splits(root).test)[0]


def test_texts_of_classes_are_names_that_can_be_printed(root):
    for name, label in (("\x1b[31mant\n", 1), ("röd", 2)):
        shown = {"image/class/text": name, "image/class/label": label, "image": encoded(Image.new("L", (5, 6)), "PNG")}
        write_records(root / f"one-{label}.train", [example(shown)] * 4)
    assert open_splits(root, "one-*").train.class_names == (r"\x1b[31mant\n", "röd")


def test_flags_of_shards_are_refused_for_other_sources():
    with pytest.raises(UsageError, match="--class_names is of --source=folder, csv, tfrecord, tar, and not of fake"):
        sources.open_splits(Config(source="fake:10", class_names="x"))


def test_the_index_is_kept_and_made_again_for_another_file(root, tmp_path, monkeypatch):
    made = []
    index_of = tfrecord.index_of
    monkeypatch.setattr(
        tfrecord,
        "index_of",
        lambda path, file, **how: made.append(os.path.basename(path)) or index_of(path, file, **how),
    )
    spec = open_splits(root).spec
    assert len(made) == 3
    assert open_splits(root).spec == spec and len(made) == 3
    records = imagenet_records(tmp_path / "train")
    write_records(root / "train-00000-of-00002", records[:4])
    assert open_splits(root).spec.num_train == spec.num_train - 1
    assert made[3:] == ["train-00000-of-00002"]
    assert sorted(path.suffix for path in (root / ".pipeline-index").iterdir()) == [".npz"] * 3
    for path in (root / ".pipeline-index").iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    open_splits(root)
    assert len(made) == 7


def test_where_the_data_may_not_be_written_the_index_lies_at_home(root, tmp_path):
    (root / ".pipeline-index").touch()  # no directory can be made there
    open_splits(root)
    assert len(list((tmp_path / "home" / ".cache" / "pipeline" / "index").iterdir())) == 3


def test_a_file_that_changes_after_the_start_is_not_read(root):
    splits = open_splits(root)
    path, _, _ = splits.train.where(0).partition(": ")
    os.utime(path, (1, 1))
    with pytest.raises(BadDataError, match=f"{path} changed since the start; start the same command again"):
        splits.train.fetch(tf.constant([0], tf.int64))


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_record_that_is_cut_off_is_named(root, cut):
    path = root / "train-00001-of-00002"
    path.write_bytes(path.read_bytes()[:-cut])
    assert refusal(root) == f"{path} was cut off in record 6; replace it"


def test_a_length_that_is_damaged_is_named(root):
    path = root / "train-00001-of-00002"
    content = bytearray(path.read_bytes())
    content[1] ^= 1
    path.write_bytes(content)
    assert refusal(root).startswith(f"{path}: the length of record 0 has another checksum than stands behind it; ")


PNG = encoded(Image.new("L", (5, 6)), "PNG")
BAD = {
    "no label": (example({"image": PNG}), "has no image/class/label or label, but image; name the right one with"),
    "an empty label": (
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[PNG])),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List()),
                }
            )
        ).SerializeToString(),
        "has no number in label; a class label is needed there",
    ),
    "no bytes": (example({"image": 3, "label": 3}), "has no bytes in image; an encoded picture is needed there"),
    "no message": (b"\xff\xff\xff", "is no tf.train.Example; give files of these"),
    "nothing": (b"", "has no image/encoded or image, but nothing; name the right one with --record_image_key"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_record_that_cannot_be_used_is_named(root, name):
    record, said = BAD[name]
    write_records(root / "train-00002-of-00002", [record])
    assert f"{root}/train-00002-of-00002: record 0 {said}" in refusal(root)


def test_labels_that_are_no_class(root):
    path = root / "validation-00000-of-00001"
    for label in (-1, 0, 3):
        write_records(path, [example({"image/encoded": PNG, "image/class/label": label})])
        assert f"validation has the label {label}, which is no class; 2 classes are numbered from 1, as the" in refusal(
            root
        )


def damage_a_picture(path, number=0):
    """Changes one bit of pixels in a record; its file has the size and the times that it had."""
    times, content = os.stat(path), bytearray(path.read_bytes())
    place = 0
    for _ in range(number):
        place += 16 + int.from_bytes(content[place : place + 8], "little")
    content[place + 12 + int.from_bytes(content[place : place + 8], "little") // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def checksum_fault(path, number):
    return (
        f"{path}: record {number} cannot be read (its content has another checksum than stands behind it); "
        "bring the original file back, or make it anew"
    )


def test_a_record_that_has_another_checksum_is_named_at_the_start(root):
    open_splits(root)  # an index is kept
    damage_a_picture(root / "train-00001-of-00002", 3)
    assert refusal(root) == checksum_fault(root / "train-00001-of-00002", 3)


def test_a_record_that_is_damaged_later_is_named_when_it_is_read(root):
    splits = open_splits(root)
    path = root / "validation-00000-of-00001"
    damage_a_picture(path, 1)
    [index] = [i for i in range(len(splits.test)) if splits.test.where(i) == f"{path}: record 1"]
    whole = [i for i in range(len(splits.test)) if i != index]
    assert len(splits.test.fetch(tf.constant(whole, tf.int64))[0]) == len(whole)
    with pytest.raises(BadDataError) as caught:
        decoding.find_broken(splits.test, [index])
    assert str(caught.value) == checksum_fault(path, 1)


def test_a_picture_that_cannot_be_decoded_is_named(root):
    path = root / "validation-00000-of-00001"
    write_records(path, [example({"image/encoded": b"no picture", "image/class/label": 1})])
    assert refusal(root).startswith(f"{path}: record 0 cannot be decoded (") and refusal(root).endswith(
        "; replace or remove it"
    )


@pytest.mark.parametrize(
    "pattern, said",
    [
        ("none*", "none* matches no file; correct it"),
        ("", "/ matches no file; give its files, as tfrecord:"),
        ("val*", "matches no file with train in its name"),
    ],
)
def test_globs_that_are_refused(root, pattern, said):
    assert said in refusal(root, pattern=pattern)


def test_splits_by_name(root):
    (root / "more").touch()
    assert f"{root}/more have no train, val or test in their names" in refusal(root)
    names = ["a-test.tfrecord", "testing/0", "valid/1", "x_val_2", "train/validation-3", "trainer/x", "contest"]
    assert [shards._split_of(f"/data/{name}") for name in names] == [
        *("test", "test", "validation", "validation", "validation", "", ""),
    ]


def test_the_checksum_is_that_of_the_format():
    """The check value of CRC-32C, masked."""
    crc = 0xE3069283
    assert checksums.masked(b"123456789") == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
