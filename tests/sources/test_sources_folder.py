"""Directories of images: which files, in which order, decoded how, refused when."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from picture_folders import fill, picture, write

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import file_splits, samples
from pipeline.sources.decoding import find_broken


@pytest.fixture
def root(tmp_path):
    """A data set with train and test."""
    fill(tmp_path / "train")
    fill(tmp_path / "test", 2)
    return tmp_path


def open_splits(root, **flags):
    return sources.open_splits(Config(**{"source": f"folder:{root}", "validation_fraction": 0.25, **flags}))


def all_of(source):
    raw, labels = source.fetch(tf.range(len(source), dtype=tf.int64))
    return source.decode(raw).numpy(), labels.numpy()


def values(source):
    return sorted(all_of(source)[0][:, 0, 0, 0].tolist())


def refusal(root, error=BadDataError, **flags):
    with pytest.raises(error) as caught:
        open_splits(root, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TRAIN = [10, 11, 12, 13, 14, 15, 200, 201, 202, 203, 204, 205]


def test_train_and_test_with_validation_carved_off(root):
    splits = open_splits(root)
    assert splits.train.class_names == ("ant", "bee") and splits.train.image_shape == (6, 5, 1)
    assert [len(split) for split in vars(splits).values()] == [9, 3, 4]
    assert sorted(values(splits.train) + values(splits.validation)) == TRAIN
    assert values(splits.test) == [10, 11, 200, 201]
    for split in vars(splits).values():
        images, labels = all_of(split)
        np.testing.assert_array_equal(labels, images[:, 0, 0, 0] >= 200)
        np.testing.assert_array_equal(images, np.broadcast_to(images[:, :1, :1], images.shape))


def test_a_validation_directory_is_used(root):
    fill(root / "validation", 1)
    splits = open_splits(root)
    assert values(splits.train) == TRAIN and values(splits.validation) == [10, 200]


def test_without_train_and_test_both_are_carved_off(tmp_path):
    fill(tmp_path, 8)
    splits = open_splits(tmp_path)
    assert [len(split) for split in vars(splits).values()] == [9, 3, 4]
    together = [value for split in vars(splits).values() for value in values(split)]
    assert sorted(together) == sorted([*range(10, 18), *range(200, 208)])


def test_the_order_is_shuffled_and_depends_on_names_alone(root, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    fill(copy / "test", 2)
    for name, first in (("bee", 200), ("ant", 10)):
        for i in reversed(range(6)):
            write(copy / "train" / name / f"{i}.png", picture(first + i))
    order = all_of(open_splits(root).train)[0][:, 0, 0, 0].tolist()
    assert order == all_of(open_splits(copy).train)[0][:, 0, 0, 0].tolist()
    assert order != sorted(order)


def test_inside_tf_data(root):
    source = open_splits(root).train
    dataset = tf.data.Dataset.range(9).batch(4).map(source.fetch).map(lambda raw, labels: (source.decode(raw), labels))
    assert dataset.element_spec[0].shape.as_list() == [None, 6, 5, 1]
    found = np.concatenate([images for images, _ in dataset.as_numpy_iterator()])
    np.testing.assert_array_equal(found, all_of(source)[0])


def test_jpeg_and_capitals_are_read_and_other_files_left_out(root, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    write(root / "test" / "ant" / "x.jpeg", picture(90))
    write(root / "test" / "ant" / "y.JPG", picture(91))
    (root / "test" / "ant" / ".hidden.png").write_text("")
    assert len(open_splits(root).test) == 6 and said == []
    (root / "test" / "ant" / "notes.txt").write_text("")
    assert len(open_splits(root).test) == 6
    assert (
        len(said) == 1 and "ant: 1 entry is no .png, .jpg, .jpeg, .webp, .bmp, .gif file and is left out, as" in said[0]
    )
    assert said[0].endswith("notes.txt")


def test_sizes_and_colours_follow_the_first_image_or_the_flag(root):
    write(root / "test" / "ant" / "wide.png", picture((90, 90, 90), (12, 20, 3)))
    write(root / "test" / "ant" / "clear.png", picture((91, 91, 91, 128), (6, 5, 4)))
    # Half transparent, on white: (91 * 128 + 255 * 127) / 255.
    assert values(open_splits(root).test) == [10, 11, 90, 173, 200, 201]
    splits = open_splits(root, image_size="7x4")
    assert splits.train.image_shape == (7, 4, 1)
    assert all_of(splits.train)[0].shape == (9, 7, 4, 1) and values(splits.test) == [10, 11, 90, 173, 200, 201]


def test_colour_images_stay_in_colour(tmp_path):
    fill(tmp_path / "train", shape=(4, 4, 3))
    fill(tmp_path / "test", 1, shape=(4, 4, 1))
    splits = open_splits(tmp_path)
    assert splits.train.image_shape == (4, 4, 3)
    assert all_of(splits.test)[0].shape == (2, 4, 4, 3) and values(splits.test) == [10, 200]


def test_one_grey_image_does_not_make_all_grey(tmp_path):
    """Whichever image is the first in the shuffled order."""
    for grey in range(4):
        for i in range(4):
            pixels = picture((50 + i, 60, 70), (4, 4, 3)) if i != grey else picture(50 + i, (4, 4, 1))
            write(tmp_path / "train" / "ant" / f"{i}.png", pixels)
        fill(tmp_path / "test", 1, shape=(4, 4, 3))
        write(tmp_path / "train" / "bee" / "0.png", picture((1, 2, 3), (4, 4, 3)))
        splits = open_splits(tmp_path)
        assert splits.train.image_shape == (4, 4, 3)
        both = np.concatenate([all_of(splits.train)[0], all_of(splits.validation)[0]])
        assert [50 + grey] * 3 in both[:, 0, 0].tolist() and [1, 2, 3] in both[:, 0, 0].tolist()


def test_images_of_varying_size_need_a_size(tmp_path):
    fill(tmp_path, 8)
    write(tmp_path / "ant" / "wide.png", picture(90, (12, 20, 1)))
    message = refusal(tmp_path, UsageError)
    assert "is 12 x 20 and" in message or " 12 x 20; give" in message
    assert "give the size that all are cropped and resized to, as --image_size=32" in message
    splits = open_splits(tmp_path, image_size="7x4")
    assert splits.train.image_shape == (7, 4, 1)
    assert sorted(value for split in vars(splits).values() for value in values(split))[8] == 90


def test_what_the_content_is_counts_and_not_the_name(root):
    path = root / "test" / "bee" / "1.png"
    path.write_bytes(tf.io.encode_jpeg(picture(77)).numpy())
    path.with_name("2.jpg").write_bytes(tf.io.encode_png(picture(78)).numpy())
    assert values(open_splits(root).test) == [10, 11, 77, 78, 200]


def test_a_window_of_each_picture(root):
    source = open_splits(root).train
    raw, _ = source.fetch(tf.range(2, dtype=tf.int64))
    sizes = []

    def window(i, height, width):
        sizes.append((height, width))
        return tf.stack([0, 0, height, width])

    np.testing.assert_array_equal(source.decode(raw, window), source.decode(raw))
    assert [tuple(map(int, size)) for size in sizes] == [(6, 5)] * 2


def test_file_names_of_any_bytes(root):
    name = os.fsencode(root / "test" / "ant") + b"/\xff\xfe.png"
    with open(name, "wb") as file:
        file.write(tf.io.encode_png(picture(99)).numpy())
    assert 99 in values(open_splits(root).test)


def test_layouts_that_are_refused(root, tmp_path_factory):
    assert "is not a directory" in refusal(root / "nowhere")
    empty = tmp_path_factory.mktemp("empty")
    assert "holds 0 class directories; at least 2 are needed" in refusal(empty)
    fill(empty / "train")
    assert "has train but no test and no val; add " in refusal(empty)
    (empty / "test").mkdir()
    assert "its test split has 0 examples" in refusal(empty)
    fill(empty / "test")
    write(empty / "test" / "cow" / "1.png", picture(1))
    assert "cow is a class without training images; rename or remove it" in refusal(empty)
    (empty / "test" / "cow").rename(empty / "test" / "bees")
    assert "bees is a class without training images; did you mean bee? rename or" in refusal(empty)
    (root / "train" / "dog").mkdir()
    assert f"{root / 'train' / 'dog'} holds no .png, .jpg, .jpeg, .webp, .bmp, .gif files" in refusal(root)


def test_too_few_images_to_carve(root):
    assert "validation_fraction=0.01 of 12 examples" in refusal(root, UsageError, validation_fraction=0.01)


@pytest.mark.parametrize(
    "content, said",
    [(b"", "begins with nothing"), (b"%PDF-1.7", "begins with 25 50 44 46"), (b"GIF89a..", "was cut off")],
)
def test_what_is_no_image_is_refused_at_the_start(root, content, said):
    path = root / "test" / "bee" / "1.png"
    path.write_bytes(content)
    assert f"{path} {said}" in refusal(root)


def test_what_cannot_be_read_is_refused_at_the_start(root):
    path = root / "train" / "bee" / "mem.png"
    path.symlink_to("/proc/self/mem")  # not even root can read it from its start
    assert f"{path} cannot be read" in refusal(root)


@pytest.mark.parametrize("damage", ["cut png", "cut jpeg", "gone"])
def test_what_cannot_be_decoded_is_named(root, damage):
    source = open_splits(root).train
    path = Path(source.where(5))
    if damage == "gone":
        path.unlink()
    else:
        noise = np.random.default_rng(1).integers(0, 256, (6, 5, 1), np.uint8)
        encode = tf.io.encode_png if damage == "cut png" else tf.io.encode_jpeg
        path.write_bytes(encode(noise).numpy()[:-20])
    dataset = tf.data.Dataset.range(len(source)).batch(4).map(lambda i: source.decode(source.fetch(i)[0]))
    with pytest.raises(tf.errors.OpError):
        list(dataset)
    with pytest.raises(BadDataError, match=f"^{path} cannot be decoded") as caught:
        find_broken(source, range(len(source)))
    assert "\n" not in str(caught.value) and "{{" not in str(caught.value)


def test_a_first_image_that_cannot_be_decoded(root):
    train = open_splits(root, validation_fraction=0.1).validation
    path = train.where(0)  # validation has the first training images
    with open(path, "r+b") as file:
        file.truncate(30)
    assert f"{path} was cut off" in refusal(root)
    Path(path).write_bytes(tf.io.encode_jpeg(picture(1)).numpy()[:10] + b"\xff\xda..\xff\xd9")
    assert f"{path} has no header" in refusal(root)


def test_a_file_of_another_kind_than_its_name_says_is_read_and_told(root, caplog):
    path = root / "train" / "ant" / "0.png"
    path.rename(path.with_suffix(".JPEG"))
    before = open_splits(root).spec
    assert caplog.messages == [
        f"1 file is of another kind than the name says, as {path.with_suffix('.JPEG')}, a PNG file; the content decides"
    ]
    assert before.image_shape == (6, 5, 1)


def test_classes_in_the_order_of_a_file(root, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("cow\nbee\nant\n")
    splits = open_splits(root, class_names=str(names))
    assert splits.train.class_names == ("cow", "bee", "ant")
    raw, labels = splits.test.fetch(tf.range(len(splits.test), dtype=tf.int64))
    levels = splits.test.decode(raw).numpy()[:, 0, 0, 0]
    assert labels.numpy().tolist() == [1 if level >= 200 else 2 for level in levels]
    names.write_text("ant\nbeee\n")
    with pytest.raises(BadDataError) as caught:
        open_splits(root, class_names=str(names))
    assert str(caught.value) == (
        f"{root}/train/bee is no class of --class_names={names}; did you mean beee? rename or remove it, or add its "
        "name there"
    )


def test_only_so_many_files_are_looked_into_before_training(root, monkeypatch):
    monkeypatch.setattr(file_splits, "CHECKED_FILES", 0)
    monkeypatch.setattr(samples, "BYTES", 0)
    (root / "test" / "bee" / "1.png").write_bytes(b"")
    assert len(open_splits(root).test) == 4
