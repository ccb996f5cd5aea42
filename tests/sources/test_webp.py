"""WebP files: their pixels, sizes and faults. Those that move are refused: TensorFlow 2.21 would overwrite memory."""

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


def transparent():
    pixels = np.asarray(PHOTO.convert("RGBA")).copy()
    pixels[..., 3] = np.linspace(0, 255, 29).astype(np.uint8)
    return Image.fromarray(pixels)


# Of every kind that the header of a file tells apart: lossy, lossless, and extended.
STILL = {
    "lossy": encoded(PHOTO, "WEBP"),
    "lossless": encoded(PHOTO, "WEBP", lossless=True),
    "lossless and transparent": encoded(transparent(), "WEBP", lossless=True),
    "lossy and transparent": encoded(transparent(), "WEBP"),
    "grey": encoded(PHOTO.convert("L"), "WEBP"),
    "wide": encoded(PHOTO.resize((700, 3)), "WEBP"),
    "tall": encoded(PHOTO.resize((3, 700)), "WEBP", lossless=True),
    "wide and transparent": encoded(transparent().resize((700, 3)), "WEBP"),
}
MOVING = encoded(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(180)])


def on_white(content):
    """The pixels by Pillow: opaque parts as they are, others mixed with white."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(int)
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    return (colours * alpha + 255 * (255 - alpha) + 127) // 255


@pytest.mark.parametrize("name", STILL)
def test_pixels_are_those_of_pillow(name):
    content = tf.constant(STILL[name])
    found = images.pixels(content, 3)
    np.testing.assert_array_equal(found, on_white(STILL[name]))
    if "transparent" not in name:
        np.testing.assert_array_equal(images.pixels(content, 1), tf.image.rgb_to_grayscale(found))


@pytest.mark.parametrize("name", STILL)
def test_what_the_header_says(name, tmp_path):
    content, path = STILL[name], tmp_path / "x"
    width, height = Image.open(io.BytesIO(content)).size
    path.write_bytes(content)
    assert files.look(str(path)) == files.Look(len(content), kind="WebP")
    assert files.shape(str(path)) == (height, width, 3)


@pytest.mark.parametrize("name", STILL)
def test_wherever_it_was_cut_off_it_is_refused(name):
    content = STILL[name]
    for length in range(12, len(content)):
        assert files.fault_of(content[:length]) == "was cut off: it has no end of its image"


def test_headers_without_a_size():
    for content in (b"RIFF\x1e\0\0\0WEBPVP8 " + bytes(18), b"RIFF\x1e\0\0\0WEBPVP8L" + bytes(18), MOVING[:12]):
        with pytest.raises(BadDataError, match=r"^x has no header that can be read; replace or remove it$"):
            files.shape_of(content, "x")


def test_one_that_moves_is_never_decoded():
    assert files.fault_of(MOVING) == "is an animated WebP file: only still ones are read"
    for decode in (images.pixels, tf.function(images.pixels)):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            decode(tf.constant(MOVING), 3)
        assert words_of(caught.value) == "animated WebP file: it cannot be decoded"


def test_a_folder_with_them(tmp_path):
    fill(tmp_path, 4, (20, 29, 3))
    for name in ("ant", "bee"):
        (tmp_path / name / "a.webp").write_bytes(STILL["lossy"])
        (tmp_path / name / "B.WEBP").write_bytes(STILL["lossless"])
    config = Config(source=f"folder:{tmp_path}", validation_fraction=0.25)
    assert sum(map(len, vars(sources.open_splits(config)).values())) == 12
    moving = tmp_path / "bee" / "c.webp"
    moving.write_bytes(MOVING)
    with pytest.raises(BadDataError) as caught:
        sources.open_splits(config)
    assert str(caught.value) == f"{moving} is an animated WebP file: only still ones are read; replace or remove it"
