"""BMP and GIF files in a folder, and those that cannot be decoded: told before training starts."""

import io

import numpy as np
import pytest
import tensorflow as tf
from picture_folders import encoded, fill, photo
from PIL import Image

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources import files, images
from pipeline.sources.decoding import words_of

PHOTO = photo(30).crop((0, 0, 29, 20))


def of_mode(mode):
    return PHOTO.quantize(50) if mode == "P" else PHOTO.convert(mode)


def by_pillow(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("kind, mode", [("BMP", "RGB"), ("BMP", "RGBA"), ("BMP", "L"), ("BMP", "P"), ("GIF", "P")])
def test_colours_are_those_of_the_file(tmp_path, kind, mode):
    content = encoded(of_mode(mode), kind)
    np.testing.assert_array_equal(images.pixels(tf.constant(content), 3), by_pillow(content))
    path = tmp_path / "x"
    path.write_bytes(content)
    assert files.look(str(path)) == files.Look(len(content), kind=kind)
    assert files.shape(str(path)) == (20, 29, 3)


@pytest.mark.parametrize("kind", ["BMP", "GIF"])
def test_grey_stays_what_it_is(kind):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(
        images.pixels(tf.constant(encoded(Image.fromarray(levels), kind)), 1), levels[..., None]
    )


def test_of_an_animation_the_first_frame_is_taken():
    content = encoded(PHOTO, "GIF", save_all=True, append_images=[photo(30, seed=1)])
    np.testing.assert_array_equal(images.pixels(tf.constant(content), 3), by_pillow(content))


@pytest.fixture
def root(tmp_path):
    fill(tmp_path, 4, (20, 29, 3))
    return tmp_path


def refusal(root):
    with pytest.raises(BadDataError) as caught:
        sources.open_splits(Config(source=f"folder:{root}", validation_fraction=0.25))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_capitals_do(root):
    for name, kind in (("a.BMP", "BMP"), ("b.Gif", "GIF"), ("c.JPEG", "JPEG"), ("d.PNG", "PNG")):
        (root / "ant" / name).write_bytes(encoded(PHOTO, kind))
    splits = sources.open_splits(Config(source=f"folder:{root}", validation_fraction=0.25))
    assert sum(len(split) for split in vars(splits).values()) == 12


@pytest.mark.parametrize("mode, said", [("1", "is a BMP file of 1 bits a pixel and compression 0"), ("RGB", "cut off")])
def test_what_is_not_read_is_named(root, mode, said):
    content = encoded(of_mode(mode), "BMP")
    (root / "bee" / "x.bmp").write_bytes(content[: len(content) - (mode == "RGB")])
    message = refusal(root)
    assert message.startswith(f"{root}/bee/x.bmp ") and said in message


def test_what_is_not_read_is_not_decoded():
    compressed = bytearray(encoded(of_mode("L"), "BMP"))
    compressed[30] = 1
    of_bits = "BMP file of other than 8, 24 or 32 bits a pixel: it cannot be decoded"
    contents = {
        bytes(compressed): "compressed BMP file: it cannot be decoded",
        encoded(of_mode("1"), "BMP"): of_bits,
        b"BM": of_bits,
    }
    for content, words in contents.items():
        for decode in (images.pixels, tf.function(images.pixels)):
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                decode(tf.constant(content), 3)
            assert words_of(caught.value) == words


@pytest.mark.parametrize("suffix", ["HEIC", "tif", "avif"])
def test_what_cannot_be_decoded_is_refused_and_not_left_out(root, suffix):
    for i in range(2):
        (root / "ant" / f"{i}.{suffix}").write_bytes(b"x")
    said = f"2 files of kinds that are not read: 0.{suffix}, 1.{suffix}; convert them to PNG or JPEG, or remove them"
    assert refusal(root) == f"{root}/ant: {said}"
    for i in range(2):
        (root / "ant" / f"{i}.{suffix}").rename(root / "ant" / f"of_another_kind{i}.jpg")
    assert "of_another_kind0.jpg begins with 78: it is no PNG, JPEG, WebP, BMP or GIF" in refusal(root)
