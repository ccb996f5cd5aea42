"""MNIST-format files: read as they are found in the wild, refused in one line when something is wrong."""

import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError

IMAGES = (np.arange(6 * 4 * 5) % 256).astype(np.uint8).reshape(6, 4, 5)
LABELS = np.array([3, 1, 4, 1, 5, 9], np.uint8)


def encode(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(directory, name, content):
    (directory / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


@pytest.fixture
def directory(tmp_path):
    for prefix in ("train", "t10k"):
        write(tmp_path, f"{prefix}-images-idx3-ubyte", encode(IMAGES))
        write(tmp_path, f"{prefix}-labels-idx1-ubyte", encode(LABELS))
    return tmp_path


def open_splits(directory):
    return sources.open_splits(Config(source=f"idx:{directory}", validation_fraction=0.34))


def all_of(source):
    images, labels = source.fetch(tf.range(len(source), dtype=tf.int64))
    return source.decode(images).numpy(), labels.numpy()


def refusal(directory):
    """The message for these files, which must be one short line."""
    with pytest.raises(BadDataError) as caught:
        open_splits(directory)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300 and str(directory) in message
    return message


def test_splits_and_values(directory):
    splits = open_splits(directory)
    for split, wanted in ((splits.validation, slice(0, 2)), (splits.train, slice(2, 6)), (splits.test, slice(0, 6))):
        images, labels = all_of(split)
        np.testing.assert_array_equal(images, IMAGES[wanted, :, :, None])
        np.testing.assert_array_equal(labels, LABELS[wanted])
        assert split.image_shape == (4, 5, 1) and split.class_names == tuple("0123456789")


@pytest.mark.parametrize(
    "name", ["train-images-idx3-ubyte.gz", "train-images.idx3-ubyte", "train-images.idx3-ubyte.gz"]
)
def test_names_that_are_found_in_the_wild(directory, name):
    (directory / "train-images-idx3-ubyte").unlink()
    write(directory, name, encode(IMAGES[::-1]))
    images, _ = all_of(open_splits(directory).validation)
    np.testing.assert_array_equal(images[0, :, :, 0], IMAGES[-1])


def test_gzip_is_seen_by_content_not_by_name(directory):
    (directory / "train-images-idx3-ubyte").write_bytes(gzip.compress(encode(IMAGES)))
    assert len(open_splits(directory).train) == 4


def test_missing_directory_and_file(directory):
    assert "is not a directory" in refusal(directory / "nowhere")
    (directory / "t10k-labels-idx1-ubyte").unlink()
    assert "has no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz or" in refusal(directory)


def damaged(content):
    """Names of damages -> (the file's bytes, what must be said)."""
    packed = gzip.compress(content)
    flipped = bytearray(packed)
    flipped[-6] ^= 1  # in the CRC
    noise = packed[:12] + b"\xff" * 20 + packed[32:]
    return {
        "truncated gzip": (packed[:-9], "not a whole gzip file"),
        "gzip cut in its header": (packed[:5], "not a whole gzip file"),
        "wrong CRC": (bytes(flipped), "not a whole gzip file"),
        "corrupt gzip": (noise, "not a whole gzip file"),
        "empty": (b"", "begins with nothing, not 00 00 08 03"),
        "wrong magic": (b"\0\0\x0d\x03" + content[4:], "begins with 00 00 0d 03, not 00 00 08 03"),
        "labels instead": (encode(LABELS), "begins with 00 00 08 01, not 00 00 08 03"),
        "cut in its header": (content[:10], "ends after 10 bytes, within its header"),
        "truncated": (content[:-1], "holds 119 bytes after its header, which says 6 x 4 x 5 = 120"),
        "trailing": (content + b"\0", "holds 121 bytes after its header, which says 6 x 4 x 5 = 120"),
        "impossible size": (content[:4] + b"\xff" * 12 + content[16:], "says 4294967295 x 4294967295 x 4294967295"),
        "no examples": (encode(IMAGES[:0]), "0 x 4 x 5"),
        "no pixels": (encode(IMAGES[:, :0]), "6 x 0 x 5"),
    }


@pytest.mark.parametrize("damage", damaged(b""))
def test_damaged_files_are_refused(directory, damage):
    content, said = damaged(encode(IMAGES))[damage]
    (directory / "train-images-idx3-ubyte").write_bytes(content)
    message = refusal(directory)
    assert said in message and "train-images-idx3-ubyte" in message


def test_counts_that_differ(directory):
    write(directory, "train-labels-idx1-ubyte", encode(LABELS[:5]))
    assert "holds 6 images and train-labels-idx1-ubyte 5 labels" in refusal(directory)


def test_a_label_out_of_range(directory):
    write(directory, "t10k-labels-idx1-ubyte", encode(np.array([0, 9, 0, 10, 0, 0], np.uint8)))
    assert "label 3 is 10; labels are 0 to 9" in refusal(directory)


def test_a_file_that_cannot_be_read(directory):
    path = directory / "train-images-idx3-ubyte"
    path.unlink()
    path.symlink_to("/proc/self/mem")  # not even root can read it from its start
    assert "train-images-idx3-ubyte cannot be read" in refusal(directory)


def test_real_mnist(mnist_directory):
    splits = sources.open_splits(Config(source=f"idx:{mnist_directory}"))
    assert [len(split) for split in vars(splits).values()] == [55_000, 5_000, 10_000]
    assert splits.train.image_shape == (28, 28, 1)
    assert all_of(splits.test)[1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
