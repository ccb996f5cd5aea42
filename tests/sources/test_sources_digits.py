"""The embedded digits: frozen, independent of how many are drawn, cached whole or not at all."""

import hashlib
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.sources import digit_drawing, digits

# Of digits 0 to 99 of the training examples and of the test examples. To change the drawing is to change what every
# run on digits was trained on; do it knowingly.
GOLDEN_SHA256 = (
    "0035915402ddd15c4cd2f66f736839a1e0d3425d08c197efadf2bd8f3cb39bc4",
    "fa8f2036d4caf1b881ae17912b769c68c899ce671f1a73598361282f4d3ef0b7",
)


def open_splits(directory, number=600):
    return sources.open_splits(Config(source=f"digits:{number}", data_dir=str(directory)))


def all_of(source):
    images, labels = source.fetch(tf.range(len(source), dtype=tf.int64))
    return source.decode(images).numpy(), labels.numpy()


def test_the_drawing_is_frozen():
    first = np.arange(100)
    drawn = (digit_drawing.draw(first), digit_drawing.draw(digits.TEST_START + first))
    assert tuple(hashlib.sha256(images.tobytes()).hexdigest() for images in drawn) == GOLDEN_SHA256


def test_a_digit_depends_on_its_index_alone():
    together = digits.draw_all(np.arange(1200))
    np.testing.assert_array_equal(digit_drawing.draw(np.array([1111, 3])), together[[1111, 3]])
    assert not np.array_equal(together[3], together[13])


def test_splits(tmp_path):
    splits = open_splits(tmp_path)
    assert [len(split) for split in vars(splits).values()] == [550, 50, 100]
    images, labels = all_of(splits.train)
    np.testing.assert_array_equal(images, digits.draw_all(np.arange(50, 600)))
    np.testing.assert_array_equal(labels, np.arange(50, 600) % 10)
    images, labels = all_of(splits.test)
    np.testing.assert_array_equal(images, digits.draw_all(digits.TEST_START + np.arange(100)))
    np.testing.assert_array_equal(labels, digit_drawing.labels(digits.TEST_START + np.arange(100)))


def test_digits_are_ink_on_black_and_within_the_frame():
    images = digits.draw_all(np.arange(1000)).astype(float)
    assert images.shape == (1000, 28, 28, 1)
    assert 0.08 < images.mean() / 255 < 0.2
    assert np.quantile(images.max(axis=(1, 2, 3)), 0.01) > 200  # hardly a digit is faint
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]])
    assert border.mean() < 20


def spy(monkeypatch, name):
    """Lets digits.<name> do its work and counts its calls."""
    calls, function = [], getattr(digits, name)
    monkeypatch.setattr(digits, name, lambda *arguments: calls.append(name) or function(*arguments))
    return calls


def test_the_second_opening_reads_the_cache(tmp_path, monkeypatch):
    first = all_of(open_splits(tmp_path).train)
    calls = spy(monkeypatch, "draw_all")
    second = all_of(open_splits(tmp_path).train)
    assert calls == []
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert len(list(tmp_path.iterdir())) == 1  # and no temporary file stays behind


@pytest.mark.parametrize("position", [0, 1000, 100_000, -1000, -20])
def test_a_damaged_cache_is_drawn_again(tmp_path, position):
    expected, _ = all_of(open_splits(tmp_path).train)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[position] ^= 0x10
    for damaged in (bytes(flipped), whole[:position], b""):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(all_of(open_splits(tmp_path).train)[0], expected)
        assert path.read_bytes() == whole


def test_digits_are_drawn_where_no_cache_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    splits = open_splits(tmp_path / "file" / "below")
    np.testing.assert_array_equal(all_of(splits.test)[0], digits.draw_all(digits.TEST_START + np.arange(100)))
    assert len(said) == 1 and "not cached" in said[0]


def test_digits_are_drawn_where_no_home_directory_is_known(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    splits = sources.open_splits(Config(source="digits:600"))
    np.testing.assert_array_equal(all_of(splits.test)[0], digits.draw_all(digits.TEST_START + np.arange(100)))
    assert said == ["no home directory is known: the digits are not cached, but drawn at every start"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=r"^data_dir=~/x: no home directory is known for ~; give the path without ~"):
        sources.open_splits(Config(source="digits:600", data_dir="~/x"))


def test_softmax_regression_finds_them_neither_easy_nor_hopeless():
    """Its order below the deeper models is measured on whole runs; this guards the level."""
    images = digits.draw_all(np.arange(10_000)).reshape(-1, 784) / np.float32(255)
    labels = digit_drawing.labels(np.arange(10_000))
    tests = digits.draw_all(digits.TEST_START + np.arange(2_000)).reshape(-1, 784) / np.float32(255)
    model = keras.Sequential([keras.layers.Dense(10, kernel_initializer="zeros")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, metrics=["accuracy"])
    model.fit(images, labels, batch_size=100, epochs=5, shuffle=False, verbose=0)
    _, accuracy = model.evaluate(tests, digit_drawing.labels(digits.TEST_START + np.arange(2_000)), verbose=0)
    assert 0.8 < accuracy < 0.93
