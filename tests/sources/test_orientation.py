"""Pictures whose file says which way up they are: decoded upright, whole and in windows."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from picture_folders import encoded
from PIL import Image, ImageOps

from pipeline import sources
from pipeline.config import Config
from pipeline.sources import files, images
from pipeline.sources.orientation import orientation

TAG = 0x0112
SMOOTH = np.linspace(0, 255, 24 * 40 * 3).astype(np.uint8).reshape(24, 40, 3)


def file_of(kind, number, **options):
    exif = Image.Exif()
    exif[0x010F], exif[TAG] = "a maker", number
    return encoded(Image.fromarray(SMOOTH), kind, exif=exif, **options)


def stored(content):
    """The pixels as they lie in the file."""
    return tf.io.decode_image(content, channels=3, expand_animations=False).numpy()


# The words of the standard, in NumPy: where the 0th row and the 0th column of the stored picture are to be seen.
SEEN = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_picture_is_upright(kind, number):
    content = file_of(kind, number)
    shown = images.pixels(tf.constant(content), 3).numpy()
    np.testing.assert_array_equal(shown, SEEN[number](stored(content)))
    by_pillow = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert shown.shape == by_pillow.shape and np.abs(shown.astype(int) - by_pillow).max() <= 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_window_of_it_is_one_of_the_upright_picture(kind, number):
    content = tf.constant(file_of(kind, number, **({"subsampling": 0} if kind == "JPEG" else {})))
    upright = images.pixels(content, 3).numpy()
    sizes = []

    def window(i, height, width):
        sizes.append((int(height), int(width)))
        return tf.constant([3, 5, 6, 8])

    part = images.decode_batch(content[None], (6, 8, 3), window)[0].numpy()
    np.testing.assert_array_equal(part, upright[3:9, 5:13])
    assert sizes == [upright.shape[:2]]


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def directory(form, entries):
    start = {"<": b"II*\0", ">": b"MM\0*"}[form] + struct.pack(f"{form}IH", 8, len(entries))
    return start + b"".join(struct.pack(f"{form}HHIHH", *entry) for entry in entries) + bytes(4)


@pytest.mark.parametrize("form", ["<", ">"])
@pytest.mark.parametrize("before", [b"", segment(0xE0, b"JFIF\0" + bytes(9)), segment(0xE2, bytes(5000)), b"\xff"])
def test_both_orders_of_bytes_and_other_segments_before(form, before):
    entries = [(0x0100, 3, 1, 7, 0), (TAG, 3, 1, 6, 0)]
    exif = segment(0xE1, b"Exif\0\0" + directory(form, entries))
    assert orientation(tf.constant(b"\xff\xd8" + before + exif)) == 6


BROKEN = {
    "no EXIF": b"\xff\xd8\xff\xdb",
    "nothing": b"",
    "a number that is none": directory("<", [(TAG, 3, 1, 9, 0)]),
    "zero": directory("<", [(TAG, 3, 1, 0, 0)]),
    "another type": directory("<", [(TAG, 2, 1, 6, 0)]),
    "a directory that lies nowhere": b"II*\0\xff\xff\xff\xff",
    "65,535 entries": b"II*\0\x08\0\0\0\xff\xff" + bytes(100),
    "no order of bytes": b"XX" + directory(">", [(TAG, 3, 1, 6, 0)])[2:],
    "cut off": b"II",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_standard_changes_nothing(name):
    content = BROKEN[name]
    if content and not content.startswith(b"\xff\xd8"):
        content = b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + content)
    assert orientation(tf.constant(content)) == 1


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDATeXIf", b"\xff\xd8\xff\xe0\0\0Exif\0\0"])
def test_lengths_that_lead_nowhere_end(content):
    assert orientation(tf.constant(content)) == 1


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def webp(flags, *chunks):
    content = b"WEBP" + chunk(b"VP8X", bytes([flags]) + bytes(9)) + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


EXIF = directory("<", [(TAG, 3, 1, 6, 0)])


@pytest.mark.parametrize("exif", [EXIF, b"Exif\0\0" + EXIF])
@pytest.mark.parametrize("before", [(), (chunk(b"ICCP", bytes(7)), chunk(b"VP8 ", bytes(100_000)))])
def test_a_webp_file_has_it_in_a_chunk_anywhere(exif, before):
    assert orientation(tf.constant(webp(0x3E & ~2, *before, chunk(b"EXIF", exif)))) == 6


WITHOUT = {
    "no flag": webp(0x36, chunk(b"EXIF", EXIF)),
    "no chunk": webp(0x08, chunk(b"VP8 ", EXIF)),
    "an empty chunk": webp(0x08, chunk(b"EXIF", b"")),
    "a length that leads nowhere": webp(0x08, b"VP8 \xff\xff\xff\xff" + chunk(b"EXIF", EXIF)),
    "a name that is cut off": webp(0x08, b"EX"),
    "no first chunk": webp(0x08)[:12],
    "the words elsewhere": webp(0, chunk(b"VP8 ", b"Exif\0\0" + EXIF)),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_webp_file_without_it_is_upright(name):
    assert orientation(tf.constant(WITHOUT[name])) == 1


def test_the_words_in_the_pixels_are_no_tag():
    content = b"\xff\xd8\xff\xda\0\x02Exif\0\0" + directory(">", [(TAG, 3, 1, 6, 0)])
    assert orientation(tf.constant(content)) == 1


def test_the_size_of_a_folder_is_that_of_upright_pictures(tmp_path):
    for name in ("ant", "bee"):
        for i in range(4):
            path = tmp_path / name / f"{i}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file_of("JPEG", 6))
    assert files.shape(str(path)) == (40, 24, 3)
    splits = sources.open_splits(Config(source=f"folder:{tmp_path}", validation_fraction=0.25))
    assert splits.train.image_shape == (40, 24, 3)
    shown = splits.train.decode(splits.train.fetch(tf.constant([0], tf.int64))[0])[0].numpy()
    np.testing.assert_array_equal(shown, np.rot90(stored(path.read_bytes()), -1))
