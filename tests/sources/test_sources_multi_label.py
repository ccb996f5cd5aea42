"""Examples with any number of labels: tables, TFRecord and tar files of them are the same data."""

import json

import numpy as np
import pytest
import tensorflow as tf
from picture_folders import picture, write
from shard_files import write_records, write_tar

from pipeline import sources
from pipeline.config import Config
from pipeline.datasets import checking, converting
from pipeline.errors import BadDataError, UsageError
from pipeline.sources.base import carve

NAMES = ("ant", "bee", "cow dog")
LABELS = [[NAMES[c] for c in range(3) if (i + 1) >> c & 1 and i % 5] for i in range(24)]  # none of some
SPLITS = ["train"] * 16 + ["test"] * 8


def record(content, name, labels, key="image/class/label"):
    numbers = tf.train.Feature(int64_list=tf.train.Int64List(value=[NAMES.index(label) for label in labels]))
    texts = tf.train.Feature(bytes_list=tf.train.BytesList(value=[label.encode() for label in labels]))
    image, path = (tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for v in (content, name.encode()))
    features = {"image/encoded": image, "image/filename": path, key: numbers, "image/class/text": texts}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The same pictures in every form."""
    root = tmp_path_factory.mktemp("data")
    paths = [f"p/{i}.png" for i in range(24)]
    for i, path in enumerate(paths):
        write(root / path, picture(10 * i))
    rows = list(zip(paths, LABELS, SPLITS, strict=True))
    cells = [f"{path}, {'|'.join(labels)} ,{split}\n" for path, labels, split in rows]
    (root / "list.csv").write_text("path,labels,split\n" + "".join(cells).replace(", ", ","))
    keys = ("path", "labels", "split")
    lines = [json.dumps(dict(zip(keys, (path, labels[::-1], split), strict=True))) for path, labels, split in rows]
    (root / "list.jsonl").write_text("\n".join(lines))
    for split in ("train", "test"):
        own = [(path, labels) for path, labels, its in rows if its == split]
        members = {}
        for path, labels in own:
            members[path.replace("png", "json")] = json.dumps({"labels": labels}).encode()
            members[path] = (root / path).read_bytes()
        write_tar(root / f"{split}.tar", members)
        write_records(root / f"{split}.tfrecord", [record((root / p).read_bytes(), p, labels) for p, labels in own])
    (root / "names").write_text("".join(f"{name}\n" for name in NAMES))
    return root


def opened(source, **flags):
    return sources.open_splits(Config(source=source, multi_label=True, validation_fraction=0.25, **flags))


def refusal(source, error=BadDataError, **flags):
    with pytest.raises(error) as caught:
        opened(source, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def examples(source):
    """The labels of each picture, by its level."""
    raw, labels = source.fetch(tf.range(len(source), dtype=tf.int64))
    levels = source.decode(raw).numpy()[:, 0, 0, 0] // 10
    return {int(i): [source.class_names[c] for c in np.flatnonzero(row)] for i, row in zip(levels, labels, strict=True)}


def test_every_form_has_the_same_examples_in_the_same_order(root):
    table = opened(f"csv:{root}/list.csv")
    assert table.train.class_names == NAMES
    found = examples(table.train) | examples(table.validation) | examples(table.test)
    assert found == dict(enumerate(LABELS)) and len(table.test) == 8
    for other in (f"csv:{root}/list.jsonl", f"tar:{root}/*.tar", f"tfrecord:{root}/*.tfrecord"):
        for _ in range(2 if "csv" not in other else 1):  # the second time by the index that was kept
            splits = opened(other)
            assert splits.spec == table.spec
            assert list(examples(splits.train).items()) == list(examples(table.train).items())
            np.testing.assert_array_equal(splits.train.labels, table.train.labels)


def test_a_conversion_keeps_labels_and_order(root, tmp_path):
    table = opened(f"csv:{root}/list.csv")
    converting.convert(table, tmp_path / "shards", 5, lambda number: None)
    flags = converting.flags_of(tmp_path / "shards", multi_label=True)
    assert flags[-1] == "--multi_label"
    again = opened(flags[0].removeprefix("--source="), class_names=flags[1].removeprefix("--class_names="))
    for split in ("train", "validation", "test"):
        mine, its = getattr(table, split), getattr(again, split)
        assert its.class_names == mine.class_names
        assert list(examples(its).items()) == list(examples(mine).items())


def test_a_check_counts_an_example_under_each_of_its_classes(root):
    report = checking.check(opened(f"csv:{root}/list.csv"), lambda number: None)
    counts = sum(checked.counts for checked in report.splits.values())
    assert counts.tolist() == [sum(name in labels for labels in LABELS) for name in NAMES]
    assert report.broken == report.duplicates == []


def test_fake_examples_have_0_to_2_labels_that_slices_keep():
    train, validation = carve(sources.open_splits(Config(source="fake:60", multi_label=True)).train, 0.5)
    assert {int((row >= 0).sum()) for row in train.labels} == {0, 1, 2}
    for split in (train, validation):
        _, hot = split.fetch(tf.range(len(split), dtype=tf.int64))
        for row, labels in zip(hot.numpy(), split.labels, strict=True):
            assert np.flatnonzero(row).tolist() == sorted(labels[labels >= 0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "path,label\nx,1\n",
            "has no column labels, but path, label; leave out --multi_label, which needs it, or add it",
        ),
        ("path,labels\nx,ant|ant\n", 'line 2 has the labels ["ant", "ant"]; give a list of whole numbers or texts of'),
        ("path,labels\nx,ant|\n", 'line 2 has the labels ["ant", ""]; give a list'),
        ("path,labels\nx,ant|1\n", "some labels are numbers and others words, as ant; give all the same"),
        ("path,labels\nx,\n", "has 1 class; at least 2 are needed"),
    ],
)
def test_tables_that_cannot_be_used_are_named(root, text, said):
    (root / "bad.csv").write_text(text)
    assert said in refusal(f"csv:{root}/bad.csv")


def test_lines_that_cannot_be_used_are_named(root):
    for labels in ("{}", "1", "[[1]]", "null", "[1.5]"):
        (root / "bad.jsonl").write_text(f'{{"path": "x", "labels": {labels}}}\n')
        assert f"line 1 has the labels {labels}; give a list" in refusal(f"csv:{root}/bad.jsonl")


@pytest.mark.parametrize(
    ("suffix", "content"), [("cls", b"ant"), ("json", b'{"label": "ant"}'), ("json", b'{"labels": 1}')]
)
def test_a_tar_file_without_lists_of_labels_is_refused(tmp_path, suffix, content):
    write_tar(tmp_path / "train.tar", {"a.png": b"x", f"a.{suffix}": content})
    assert f"a.{suffix} holds no labels of --multi_label; it needs to be KEY.json with" in refusal(
        f"tar:{tmp_path}/train.tar"
    )


def test_records_without_numbers_or_with_one_twice_are_refused(tmp_path):
    for labels, said in ((["ant", "ant"], "record 0 has a number twice in"), ([], "record 0 has no image/class/label")):
        key = "image/class/label" if labels else "other"
        write_records(tmp_path / "train.tfrecord", [record(b"x", "x", labels, key)])
        assert said in refusal(f"tfrecord:{tmp_path}/train.tfrecord")


def test_sources_of_one_label_are_refused():
    said = refusal("digits:100", UsageError)
    assert said == "--multi_label is of --source=csv, tfrecord, tar, tfds, fake, and not of digits; leave it out"
