"""Names of sources, what is refused, and the slices that make a validation split."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import decoding, images
from pipeline.sources.base import Slice, Splits, carve
from pipeline.sources.decoding import find_broken
from pipeline.sources.fake import Fake
from pipeline.sources.memory import InMemory


def in_memory(length, class_names=("a", "b"), side=2):
    pixels = np.arange(length * side * side) % 251
    return InMemory(pixels.reshape(length, side, side, 1), np.arange(length) % 2, class_names, "memory")


def test_naming_sources_imports_neither_tensorflow_nor_a_source():
    code = (
        "import sys, pipeline.sources as s; s.check('tfds:mnist'); s.check('idx:here');"
        "sys.exit('tensorflow' in sys.modules or any(m.startswith('pipeline.sources.') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "spec",
    ["digits", "digits:600", "mnist", "tfds:cifar10", "tfds:mnist:3.0.1", "idx:a:b", "folder:.", "fake", "fake:7"],
)
def test_check_accepts(spec):
    sources.check(spec)


@pytest.mark.parametrize(
    "spec, said",
    [
        (
            "minst",
            ["source=minst is unknown", "did you mean mnist?", "mnist, tfds, idx, folder, csv, tfrecord, tar, fake"],
        ),
        ("", ["source= is unknown"]),
        ("folder:r\udce9d", [r"source=b'folder:r\xe9d' is not UTF-8 text; rename that directory"]),
        ("mnist:x", ["source=mnist:x", "takes no argument", "--source=mnist"]),
        ("idx", ["source=idx lacks its DIR", "--source=idx:DIR"]),
        ("tfds:", ["source=tfds: lacks its NAME"]),
        ("digits:many", ["'many' is not a number", "digits:6000"]),
        ("fake:0", ["'0' is not a number"]),
    ],
)
def test_check_refuses(spec, said):
    with pytest.raises(UsageError) as caught:
        sources.check(spec)
    assert [words for words in said if words not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("spec", "plain"),
    [
        ("folder:data/", "folder:data"),
        ("folder:./data", "folder:data"),
        ("folder:.//data/./x///", "folder:data/x"),
        ("idx:/data/mnist/", "idx:/data/mnist"),
        ("folder:./", "folder:."),
        ("folder:/", "folder:/"),
        ("folder:~/data/", "folder:~/data"),
        ("folder:./~/data", "folder:./~/data"),  # a directory of that name
        # These are their own plain spelling: a link may lie before "..", and these are no paths.
        *(
            (same, same)
            for same in ("folder:data", "folder:a/../b/", "folder:", "digits:60", "tfds:a/b", "folder", "x:y/")
        ),
    ],
)
def test_a_directory_has_one_spelling(spec, plain):
    assert sources.normalized(spec) == sources.normalized(plain) == plain


def test_carve_holds_out_the_first_examples_rounded():
    train, validation = carve(Fake(60_000, 0), 0.0833333)
    assert (len(train), len(validation)) == (55_000, 5_000)
    raw, labels = validation.fetch(tf.constant([0, 4_999], tf.int64))
    assert raw.numpy().tolist() == [0, 4_999] and labels.numpy().tolist() == [0, 9]
    assert train.fetch(tf.constant([0, 54_999], tf.int64))[0].numpy().tolist() == [5_000, 59_999]


@pytest.mark.parametrize("length, fraction", [(60_000, 0.0), (4, 0.0833333), (1, 0.9), (2, 0.9), (0, 0.5)])
def test_carve_leaves_no_split_empty(length, fraction):
    with pytest.raises(UsageError, match=f"validation_fraction={fraction} of {length} examples"):
        carve(Fake(length, 0), fraction)


def test_a_size_makes_images_fit_that_the_source_has_in_another():
    small = sources.open_splits(Config(source="fake:60", image_size=12)).train
    whole = sources.open_splits(Config(source="fake:60")).train
    assert small.image_shape == (12, 12, 1) and len(small) == len(whole) and small.where(3) == whole.where(3)
    indices = tf.constant([3, 50], tf.int64)
    (raw, labels), (pictures, expected_labels) = small.fetch(indices), whole.fetch(indices)
    expected = images.fit(whole.decode(pictures), 12, 12)
    np.testing.assert_array_equal(small.decode(raw), expected)
    np.testing.assert_array_equal(labels, expected_labels)
    assert sources.open_splits(Config(source="fake:60", image_size=28)).train.decode(raw).shape == (2, 28, 28, 1)


@pytest.mark.parametrize("image_size", ["0", "12", "8x12"])
def test_a_window_of_images_that_are_there_already(image_size):
    source = sources.open_splits(Config(source="fake:60", image_size=image_size)).train
    whole = sources.open_splits(Config(source="fake:60")).train
    raw, _ = source.fetch(tf.constant([3, 50], tf.int64))
    windows = tf.constant([[2, 3, 20, 10], [0, 0, 28, 28]])
    height, width, _ = source.image_shape
    found = source.decode(raw, lambda i, height, width: windows[i])
    first, second = whole.decode(raw).numpy()
    np.testing.assert_array_equal(found[0], images.resize(tf.constant(first[2:22, 3:13]), height, width))
    np.testing.assert_array_equal(found[1], images.resize(tf.constant(second), height, width))


def test_slices_of_slices_count_on():
    inner = Slice(Slice(Fake(100, 0), 10, 60), 5, 20)
    assert len(inner) == 15
    assert inner.fetch(tf.constant([2], tf.int64))[0].numpy() == 17
    assert inner.where(2) == "fake: example 17"


def test_in_memory_gathers_inside_tf_data_without_copying_into_the_graph():
    source = in_memory(50, side=28)
    dataset = tf.data.Dataset.range(10).batch(5).map(lambda i: (source.decode(source.fetch(i)[0]), source.fetch(i)[1]))
    images, labels = next(iter(dataset.skip(1)))
    expected = (np.arange(5 * 784, 10 * 784) % 251).reshape(5, 28, 28, 1)
    assert images.dtype == tf.uint8 and labels.dtype == tf.int32
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, [1, 0, 1, 0, 1])
    traced = tf.function(source.fetch).get_concrete_function(tf.TensorSpec([None], tf.int64))
    assert len(traced.graph.as_graph_def().SerializeToString()) < 50 * 784


@pytest.mark.parametrize(
    "length, class_names, side, said",
    [
        (0, ("a", "b"), 2, "own: its validation split has 0 examples"),
        (4, ("a", "b"), 3, r"own: validation images are \(3, 3, 1\) and train images \(2, 2, 1\)"),
        (4, ("a", "c"), 2, "own: validation and train have other classes"),
    ],
)
def test_splits_that_do_not_agree_are_refused(length, class_names, side, said):
    validation = in_memory(length, class_names, side)
    with pytest.raises(BadDataError, match=said):
        sources.check_agreement("own", Splits(in_memory(4), validation, in_memory(4)))


class Brittle(Fake):
    """Its examples 13 and 17 cannot be decoded."""

    def decode(self, raw, window=None):
        tf.debugging.assert_none_equal(raw, tf.constant(17, tf.int64))
        tf.debugging.assert_none_equal(raw, tf.constant(13, tf.int64))
        return super().decode(raw, window)


def test_find_broken_names_all_examples_that_cannot_be_decoded_once_one_is_met():
    source = Slice(Brittle(30, 0), 3, 30)
    find_broken(source, range(10))
    with pytest.raises(
        BadDataError, match=r"^2 examples cannot be used: fake: example 13 cannot be decoded \("
    ) as told:
        find_broken(source, range(9, 11))
    assert ", fake: example 17 cannot be decoded (" in str(told.value)


def test_a_search_for_broken_examples_ends_in_time_and_says_so(monkeypatch):
    monkeypatch.setattr(decoding, "SEARCH_S", 0)
    with pytest.raises(BadDataError, match=r"^at least 1 example cannot be used: fake: example 13 cannot be decoded"):
        find_broken(Brittle(30, 0), range(12, 14))
