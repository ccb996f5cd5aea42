"""Random images: the same for the same index, other ones for others."""

import numpy as np
import tensorflow as tf

from pipeline import sources
from pipeline.config import Config


def read(source, indices):
    raw, labels = source.fetch(tf.constant(indices, tf.int64))
    return source.decode(raw).numpy(), labels.numpy()


def test_sizes_and_shapes():
    splits = sources.open_splits(Config(source="fake"))
    assert [len(split) for split in vars(splits).values()] == [55_000, 5_000, 10_000]
    images, labels = read(splits.train, [0, 1, 7])
    assert images.shape == (3, 28, 28, 1) and images.dtype == np.uint8 and labels.dtype == np.int32


def test_an_image_depends_on_its_index_alone():
    splits = sources.open_splits(Config(source="fake:600", seed=1))
    again = sources.open_splits(Config(source="fake:600", seed=2))
    together, _ = read(splits.train, [5, 6, 7])
    alone, label = read(again.train, [6])
    np.testing.assert_array_equal(together[1], alone[0])
    assert label == (50 + 6) % 10  # 50 of 600 examples come first, in validation
    assert not np.array_equal(together[0], together[1])


def test_test_images_are_not_training_images():
    splits = sources.open_splits(Config(source="fake:600"))
    assert not np.array_equal(read(splits.validation, [3])[0], read(splits.test, [3])[0])


def test_pixels_are_spread_evenly():
    images, _ = read(sources.open_splits(Config(source="fake:600")).train, range(100))
    assert abs(images.mean() - 127.5) < 1 and images.min() == 0 and images.max() == 255
