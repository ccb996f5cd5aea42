"""Pictures that stay in memory: the same as their files give, read and decoded once, and no more than there is room."""

import shutil

import numpy as np
import pytest
import small_run
import tensorflow as tf
from picture_folders import encoded, photo
from shard_files import tar_members, write_tar

from pipeline import sources
from pipeline.config import Config
from pipeline.engine import state
from pipeline.engine.assembly import Assembly
from pipeline.engine.topology import from_config
from pipeline.sources.base import Middle, Resized
from pipeline.sources.decoded import DecodedCache
from pipeline.sources.packed_files import PackedFiles

SIDE, COUNT = 12, 10  # of the training pictures
BYTES = COUNT * SIDE * SIDE * 3


@pytest.fixture
def root(tmp_path):
    """Ten training and four test pictures, some of another size, as a folder and as a tar file."""
    for split, count in (("train", COUNT), ("test", 4)):
        for i in range(count):
            path = tmp_path / "D" / split / ("ant", "bee")[i % 2] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(photo(SIDE if i < 8 else 18, seed=i), "JPEG"))
        write_tar(tmp_path / f"{split}.tar", tar_members(tmp_path / "D" / split))
    return tmp_path


def specs(root):
    return [f"folder:{root}/D", f"tar:{root}/*.tar"]


def opened(spec, **fields):
    return sources.open_splits(Config(source=spec, image_size=str(SIDE), validation_fraction=0.2, **fields))


def whole(spec):
    """All training pictures, of which the validation split is a part."""
    return opened(spec).train._source


def read(source, indices, window=None):
    """Images and labels, as tf.data reads them."""

    @tf.function(autograph=False)
    def batch(indices):
        raw, labels = source.fetch(indices)
        return source.decode(raw, window), labels

    images, labels = batch(tf.constant(indices, tf.int64))
    return images.numpy(), labels.numpy()


def assert_equal(kept, source, indices, window=None):
    for found, wanted in zip(read(kept, indices, window), read(source, indices, window), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", [0, 1])
def test_kept_pictures_are_those_of_the_files_and_need_them_no_more(root, kind):
    source = whole(specs(root)[kind])
    kept = DecodedCache(BYTES).of(source)
    assert (kept.fingerprint, kept.where(3), kept.original(3)) == (
        source.fingerprint, source.where(3), source.original(3)
    )  # fmt: skip
    wanted, labels = read(source, range(COUNT))
    for indices in ([7, 2, 2], [2, 3, 9, 0], range(COUNT)):  # all new, some new, one twice
        images, found = read(kept, indices)
        np.testing.assert_array_equal(images, wanted[list(indices)])
        np.testing.assert_array_equal(found, labels[list(indices)])
    shutil.rmtree(root / "D")
    (root / "train.tar").unlink()
    np.testing.assert_array_equal(read(kept, [9, 0, 4])[0], wanted[[9, 0, 4]])


def test_nothing_is_read_that_is_kept(root, monkeypatch):
    reads = []

    def reading(self, indices):
        reads.append(indices.tolist())
        return original(self, indices)

    original = PackedFiles.read
    kept = DecodedCache(BYTES).of(whole(specs(root)[1]))
    monkeypatch.setattr(PackedFiles, "read", reading)
    for _ in range(3):
        read(kept, [1, 5])
    assert reads == [[1, 5]]


def test_windows_are_of_the_files(root):
    source = whole(specs(root)[0])
    kept = DecodedCache(BYTES).of(source)
    read(kept, range(COUNT))

    def window(i, height, width):
        return tf.stack([i, 1, height // 2, width - 3])

    assert_equal(kept, source, [8, 2, 9], window)


def test_middles_and_resized_pictures_are_kept_as_they_are_seen(root):
    source = whole(specs(root)[0])
    for seen in (Middle(source, 0.5), Resized(source, 7, 9)):
        kept = DecodedCache(BYTES).of(seen)
        assert kept is not seen and kept.image_shape == seen.image_shape
        for _ in range(2):
            assert_equal(kept, seen, [9, 8, 0])


def test_splits_share_the_room(root):
    splits = opened(specs(root)[0])
    a_picture = SIDE * SIDE * 3
    cache = DecodedCache(11 * a_picture)
    assert cache.of(splits.train) is not splits.train  # 8
    assert cache.of(splits.test) is splits.test  # 4
    assert cache.of(splits.validation) is not splits.validation  # 2
    assert cache.of(splits.validation) is splits.validation
    nothing = DecodedCache(8 * a_picture - 1)
    assert nothing.of(splits.train) is splits.train


def test_pixels_are_not_kept_twice(root):
    fake = sources.open_splits(Config(source="fake:20", image_size="32"))
    cache = DecodedCache(2**30)
    assert cache.of(fake.train) is fake.train
    kept = cache.of(opened(specs(root)[0]).train)
    assert cache.of(kept) is kept


def test_a_run_has_the_same_bits(root):
    def sha256(**fields):
        fields = {"source": specs(root)[0], "image_size": str(SIDE), "validation_fraction": 0.2, "steps": 4} | fields
        return state.parameters_sha256(small_run.train(0, 4, **fields))

    assert sha256() == sha256(decoded_cache_mib=0)


def assembly(root, **fields):
    config = Config(source=specs(root)[0], image_size=str(SIDE), validation_fraction=0.2, **fields)
    return Assembly(config, from_config(config, 0))


def test_the_splits_of_a_run_that_are_kept(root):
    parts = assembly(root, eval_crop=0.5)
    assert parts.train is parts.train and not parts.train.encoded
    assert parts.evaluated("test").encoded
    validation = parts.evaluated_often("validation")
    assert validation is parts.evaluated_often("validation") and not validation.encoded
    assert_equal(validation, Middle(parts.splits.validation, 0.5), [0, 1])
    assert assembly(root, decoded_cache_mib=0).train.encoded
    assert assembly(root, augment="resize_crop:0.5").train.encoded  # each time another part
    assert not assembly(root, augment="resize_crop:0.5", augment_steps=2).train.encoded
