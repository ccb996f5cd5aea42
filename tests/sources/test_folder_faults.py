"""What lies in a folder and is no picture, or no whole one: told in one line, and nothing left out in silence."""

import os

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from picture_folders import encoded, fill, photo, picture, write
from PIL import Image

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources import samples


@pytest.fixture
def root(tmp_path):
    """A data set with train and test."""
    fill(tmp_path / "D" / "train")
    fill(tmp_path / "D" / "test", 2)
    return tmp_path / "D"


@pytest.fixture
def said(monkeypatch):
    """All warnings."""
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


def open_splits(root, **flags):
    return sources.open_splits(Config(**{"source": f"folder:{root}", "validation_fraction": 0.25, **flags}))


def pixels(source):
    return source.decode(source.fetch(tf.range(len(source), dtype=tf.int64))[0]).numpy()


def refusal(root, **flags):
    with pytest.raises(BadDataError) as caught:
        open_splits(root, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def number_of(splits):
    return sum(len(split) for split in vars(splits).values())


# Entries that lead nowhere.


def test_links_that_lead_nowhere_are_counted_and_named(root):
    ant = root / "train" / "ant"
    (ant / "loop.jpg").symlink_to("loop.jpg")
    for i in range(3):
        (ant / f"{i}.png").unlink()
        (ant / f"{i}.png").symlink_to(f"../../gone/{i}.png")
    message = refusal(root)
    assert message.startswith(f"{ant}: 4 of 7 entries cannot be read: 0.png (a link to ../../gone/0.png, which is not")
    assert "loop.jpg (Too many levels of symbolic links); repair or remove them" in message
    (root / "train" / "bee" / "x").symlink_to("y")  # whatever its name: it may have been a directory of pictures
    message = refusal(root)
    assert message.startswith(f"{ant}: 4 of 7 entries cannot be read: ")
    assert f" | {root}/train/bee: 1 of 7 entries cannot be read: x (a link to y, which is not there)" in message


def test_of_many_links_the_first_are_named(root):
    for i in range(100):
        (root / "train" / "ant" / f"x{i:02}.jpg").symlink_to("nowhere")
    message = refusal(root)
    assert "100 of 106 entries cannot" in message and "x19.jpg (" in message and " and 80 more; repair" in message
    assert "x20.jpg" not in message


@pytest.mark.parametrize("place", ["train/cow", "test/bee2"])
def test_a_class_that_leads_nowhere_is_not_left_out(root, place):
    (root / place).symlink_to("/nowhere/at/all")
    split, name = place.split("/")
    assert f"{root}/{split}: 1 of 3 entries cannot be read: {name} (a link to /nowhere/at/all, which" in refusal(root)


def test_a_split_that_is_a_link_to_nothing_is_not_carved_off(root):
    (root / "validation").symlink_to("/not/mounted")
    assert f"{root}/validation is not a directory" in refusal(root)


def test_what_may_have_been_a_split_is_told(root, said):
    (root / "dev").symlink_to("/not/mounted")
    open_splits(root)
    assert said == [f"{root}/dev is not read; rename it to validation, if it is that split"]


def test_a_linked_class_is_read(root):
    (root / "train" / "bee").rename(root / "elsewhere")
    (root / "train" / "bee").symlink_to("../elsewhere")
    assert number_of(open_splits(root)) == 16


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_has_no_end_is_not_opened(root, make):
    make(root / "train" / "ant" / "x.png")
    assert f"{root}/train/ant: 1 of 7 entries cannot be read: x.png (no regular file); repair" in refusal(root)


def test_a_path_that_no_file_system_takes(root):
    assert "cannot be read (File name too long)" in refusal(root / ("a" * 300))


# What would be left out.


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Val", "validation"), ("Valid", "validation"), ("VALIDATION", "validation"), ("Test", "test"), ("extra", "")],
)
def test_directories_beside_the_splits_are_told(root, said, name, meant):
    fill(root / name, 1)
    assert number_of(open_splits(root)) == 16
    [line] = said
    assert line.startswith(f"{root}/{name} is not read; ") and ("rename it to" in line) == bool(meant)
    assert not meant or f"rename it to {meant}, if" in line


def test_pictures_outside_of_class_directories_are_told(root, said):
    write(root / "train" / "x.png", picture(1))
    write(root / "train" / "y.png", picture(1))
    open_splits(root)
    assert said == [
        f"{root}/train: 2 image files outside of any class directory, left out, as x.png; move them into one"
    ]


def test_other_files_at_any_depth_are_told_and_hidden_ones_are_not(root, said):
    for name in ("notes/a.txt", "notes/deep/b.xml", ".thumbnails/c.png"):
        path = root / "train" / "ant" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no picture")
    assert number_of(open_splits(root)) == 16
    assert said == [
        f"{root}/train/ant: 2 entries are no .png, .jpg, .jpeg, .webp, .bmp, .gif files and are left out, as "
        f"{root}/train/ant/notes/a.txt"
    ]


def test_kinds_that_are_not_read_are_refused_at_any_depth(root):
    (root / "train" / "ant" / "phone").mkdir()
    (root / "train" / "ant" / "phone" / "1.HEIC").touch()
    assert f"{root}/train/ant: 1 file of kinds that are not read: phone/1.HEIC; convert it to PNG" in refusal(root)


@pytest.mark.parametrize("target", [".", "..", "../..", "../../.."])
def test_a_link_back_to_what_it_lies_in_is_refused(root, target):
    (root / "train" / "ant" / "deep").mkdir()
    (root / "train" / "ant" / "deep" / "loop").symlink_to(target)
    line = f"{root}/train/ant/deep/loop leads back to a directory that it lies in; remove the link"
    assert refusal(root) == line


def test_a_class_without_a_picture_at_any_depth_is_refused(root):
    (root / "train" / "cow" / "images").mkdir(parents=True)
    assert refusal(root) == (
        f"{root}/train/cow holds no .png, .jpg, .jpeg, .webp, .bmp, .gif files; put images there or remove it"
    )


def test_the_layout_one_level_too_high_is_seen(root, tmp_path):
    fill(tmp_path / "E" / "train")
    line = f"{root} holds train, as a data set does, and is no class; give {root}, or rename its train"
    assert refusal(tmp_path) == line


# Names.


@pytest.mark.parametrize("name", [b"r\xe9d", b"red\nblue", b"red\x1b[31m", b"\xff"])
def test_a_class_whose_name_cannot_be_printed_is_refused(root, name):
    os.rename(root / "train" / "bee", os.fsencode(root / "train") + b"/" + name)
    assert f"{root}/train: the class directory {name!r} has a name that is not UTF-8 text of one line; rename it" in (
        refusal(root)
    )


@pytest.mark.parametrize("name", ["röd", "赤", "re d", "a[1]", "*", "🐝", "%s", "train"])
def test_a_class_may_have_any_name_that_can_be_printed(root, name):
    for split in ("train", "test"):
        (root / split / "bee").rename(root / split / name)
    assert sorted(open_splits(root).train.class_names) == sorted(["ant", name])


@pytest.mark.parametrize("name", ["a[1]", "a*", "?", "~", "a b", "%(x)s"])
def test_a_path_is_never_a_pattern(root, name, monkeypatch):
    expected = [pixels(source) for source in vars(open_splits(root)).values()]
    monkeypatch.chdir(root.parent)
    root.rename(name)
    found = [pixels(source) for source in vars(open_splits(f"./{name}")).values()]
    assert all(map(np.array_equal, found, expected))


# What is in the files.


def damaged(content, place=0.5, number=20, value=0):
    """A JPEG file, some of whose pixels' bytes are lost."""
    start = content.index(b"\xff\xda") + 14
    place = start + int((len(content) - start) * place)
    return content[:place] + bytes([value] * number) + content[place + number :]


@pytest.fixture
def photos(tmp_path):
    """A data set of 8 JPEG photos a class."""
    for split in ("train", "test"):
        for number, name in enumerate(("ant", "bee")):
            for i in range(8):
                path = tmp_path / "P" / split / name / f"{i}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded(photo(seed=8 * number + i), "JPEG"))
    return tmp_path / "P"


def test_whole_photos_say_nothing(photos, said, capfd):
    open_splits(photos)
    assert said == [] and capfd.readouterr().err == ""


def test_photos_that_are_damaged_inside_are_all_named(photos, capfd):
    paths = [photos / split / "ant" / f"{i}.jpg" for split, i in (("train", 1), ("train", 5), ("test", 7))]
    for path in paths:
        path.write_bytes(damaged(path.read_bytes(), number=512))
    message = refusal(photos)
    assert message.startswith("3 files cannot be used: ") and message.endswith("; replace or remove them")
    assert all(f"{path} is damaged inside (Corrupt JPEG data: " in message for path in paths)
    assert "Corrupt" not in capfd.readouterr().err  # libjpeg's own lines name no file


def test_a_photo_that_may_be_damaged_is_told(photos, said, capfd):
    path = photos / "train" / "bee" / "3.jpg"
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b"\x11" * 9 + content[-2:])
    open_splits(photos)
    [line] = said
    assert line.startswith(f"{path} may be damaged inside (Corrupt JPEG data: ") and "extraneous bytes before" in line
    assert "Corrupt" not in capfd.readouterr().err


def test_a_photo_whose_header_is_damaged_is_told_in_one_line(photos, capfd):
    path = photos / "train" / "bee" / "3.jpg"
    content = path.read_bytes()
    table = content.index(b"\xff\xc4") + 5
    path.write_bytes(content[:table] + b"\xff" * 16 + content[table + 16 :])
    assert refusal(photos).startswith(f"{path} ")
    assert capfd.readouterr().err == ""


def test_other_lines_on_stderr_are_not_lost(photos, capfd, monkeypatch):
    extremes = samples.decoding.extremes
    monkeypatch.setattr(samples.decoding, "extremes", lambda *of: os.write(2, b"heard\n") and extremes(*of))
    open_splits(photos)
    assert capfd.readouterr().err == "heard\n"


def test_all_damaged_files_are_named_at_once(root):
    """Of every kind, in every split."""
    whole = tf.io.encode_png(np.random.default_rng(0).integers(0, 256, (6, 5, 1), np.uint8)).numpy()
    cut = [root / "train" / "ant" / "0.png", root / "train" / "bee" / "5.png", root / "test" / "bee" / "1.png"]
    for path in cut:
        path.write_bytes(whole[:-9])
    (root / "train" / "bee" / "2.png").write_bytes(b"<html>")
    message = refusal(root)
    assert message.startswith("4 files cannot be used: ") and message.endswith("; replace or remove them")
    assert all(f"{path} was cut off: it has no end of its image" in message for path in cut)
    assert f"{root}/train/bee/2.png begins with 3c 68 74 6d" in message
    for path in (*cut, root / "train" / "bee" / "2.png"):
        path.write_bytes(whole[:50] + b"!!!!" + whole[54:])  # its ends are there, its checksum is wrong
    message = refusal(root)
    assert message.startswith("4 files cannot be used: ")
    assert all(f"{path} cannot be decoded (" in message for path in cut)


def test_a_picture_that_only_its_alpha_channel_shows_is_seen(tmp_path):
    for name, columns in (("ant", slice(0, 3)), ("bee", slice(3, 6))):
        for i in range(6):
            drawn = picture(0, (6, 6, 4))
            drawn[i, columns, 3] = 255
            write(tmp_path / name / f"{i}.png", drawn)
    shown = pixels(open_splits(tmp_path).train)
    assert ((shown == 0).sum(axis=(1, 2, 3)) == 9).all() and ((shown == 255).sum(axis=(1, 2, 3)) == 99).all()


@pytest.mark.parametrize(
    ("mode", "colour", "level"), [("RGBA", (255, 255, 255, 7), 255), ("L", 0, 0), ("LA", (9, 0), 255), ("P", 0, 0)]
)
def test_pictures_that_are_all_of_one_level_are_refused(root, mode, colour, level):
    for path in (root / "train").glob("*/*.png"):
        Image.new(mode, (5, 6), colour).save(path)
    message = refusal(root)
    assert message.startswith(f"{root}/train: all 12 pictures looked at, as {root}/train/")
    assert f"are of the one level {level} once decoded" in message


def sixteen_bits(directory, most):
    for i in range(6):
        path = directory / f"{i}.png"
        path.unlink()
        values = (np.random.default_rng(i).random((6, 5)) * most).astype(np.uint16)
        values[0, 0] = most
        Image.fromarray(values).save(path)


@pytest.mark.parametrize("names", [("ant",), ("ant", "bee")])
def test_pictures_of_16_bits_that_would_be_black_are_refused(root, names):
    for name in names:
        sixteen_bits(root / "train" / name, 255)
    message = refusal(root)
    assert message.startswith(f"{root}/train: the {6 * len(names)} pictures of 16 bits looked at, as {root}/train/")
    assert "have values up to 255 of 65535, which are all black with 8 bits; multiply" in message


@pytest.mark.parametrize(("most", "levels"), [(1023, "4 of 256 levels"), (4095, "16 of 256 levels"), (65535, "")])
def test_pictures_of_16_bits_that_would_be_dark_are_told(root, said, most, levels):
    sixteen_bits(root / "train" / "ant", most)
    open_splits(root)
    assert [line for line in said if "16 bits" in line and levels in line] == (said if levels else [])
    assert len(said) == bool(levels)


def test_a_large_split_is_looked_at_in_part(root, monkeypatch):
    monkeypatch.setattr(samples, "FILES", 3)
    assert samples._first([10] * 5) == [0, 1, 2]
    monkeypatch.setattr(samples, "BYTES", 25)
    assert samples._first([10] * 5) == [0, 1]
    assert samples._first([30, 10]) == []
    assert number_of(open_splits(root)) == 16
