"""Pictures of any size and kind to a model's shape, whole or through a window."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.sources import images

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
SMOOTH = np.stack(np.broadcast_arrays(*np.ogrid[0:240:10, 0:252:7], 90), axis=-1).astype(np.uint8)


def as_file(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png(pixels) -> bytes:
    return as_file(Image.fromarray(pixels), "PNG")


def jpeg(pixels, subsampling="4:4:4", **options) -> bytes:
    """Colours at the full size unless asked for: of others, those at a window's edge depend on what lies outside."""
    return as_file(Image.fromarray(pixels), "JPEG", subsampling=subsampling, **options)


def decoded(content: bytes, *shape: int) -> np.ndarray:
    return images.decode(tf.constant(content), shape).numpy()


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ((24, 36), PIXELS),
        ((24, 24), PIXELS[:, 6:30]),  # wider than asked for: the sides go
        ((24, 72), PIXELS[6:18]),  # higher: top and bottom go
        ((12, 12), PIXELS[:, 6:30]),
        ((100, 150), PIXELS),
        ((36, 24), PIXELS[:, 10:26]),
        ((1, 1), PIXELS[:, 6:30]),
        ((1, 3000), PIXELS[11:12]),  # at least one row is left
    ],
)
def test_the_largest_part_of_the_aspect_around_the_middle_is_resized(shape, part):
    expected = part if part.shape[:2] == shape else images.resize(tf.constant(part), *shape)
    np.testing.assert_array_equal(decoded(png(PIXELS), *shape, 3), expected)
    np.testing.assert_array_equal(images.fit(tf.constant(PIXELS), *shape), expected)
    np.testing.assert_array_equal(images.fit(tf.constant([PIXELS, PIXELS]), *shape)[1], expected)


@pytest.mark.parametrize("encode", [png, jpeg])
def test_evaluation_takes_a_share_of_that_part(encode):
    content = tf.constant(encode(PIXELS))
    whole = tf.io.decode_image(content).numpy()

    def seen(share, *shape):
        return images.decode(content, shape, images.middle(share, shape)).numpy()

    np.testing.assert_array_equal(seen(0.5, 12, 12, 3), whole[6:18, 12:24])
    np.testing.assert_array_equal(seen(0.5, 6, 18, 3), whole[9:15, 9:27])
    np.testing.assert_array_equal(seen(0.875, 21, 21, 3), whole[1:22, 7:28])  # resize to 24, crop to 21
    np.testing.assert_array_equal(seen(0.01, 1, 1, 3), whole[11:12, 17:18])
    assert images.middle(1, (12, 12, 3)) is None


def test_resizing_averages_where_it_makes_smaller():
    board = np.indices((8, 8)).sum(axis=0, keepdims=True)[0][..., None] % 2 * 255
    small = images.resize(tf.constant(board.astype(np.uint8)), 2, 2)
    assert np.abs(small.numpy().astype(int) - 127.5).max() <= 1


@pytest.mark.parametrize("shape", [(48, 50), (24, 36), (24, 72), (90, 36)])
def test_antialiasing_changes_nothing_where_nothing_becomes_smaller(shape):
    expected = tf.image.resize(PIXELS, shape, antialias=True)
    found = images.resize(tf.constant(PIXELS), *shape).numpy().astype(float)
    assert np.abs(found - expected).max() <= 0.501


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encode", [png, jpeg])
def test_a_window_is_cut_out_before_it_is_resized(encode, channels):
    files = tf.constant([encode(PIXELS), encode(PIXELS[:20])])
    cuts = tf.constant([[3, 5, 12, 7], [0, 0, 20, 36]])
    found = images.decode_batch(files, (9, 9, channels), lambda i, height, width: cuts[i])
    whole = [decoded(content, height, 36, channels) for content, height in zip(files.numpy(), (24, 20), strict=True)]
    np.testing.assert_array_equal(found[0], images.resize(tf.constant(whole[0][3:15, 5:12]), 9, 9))
    np.testing.assert_array_equal(found[1], images.resize(tf.constant(whole[1]), 9, 9))


def test_a_window_is_told_the_size_of_each_picture():
    files = tf.constant([png(PIXELS), jpeg(PIXELS[:20, :10])])
    found = images.decode_batch(files, (4, 4, 3), lambda i, height, width: tf.stack([height - 1, width - 1, 1, 1]))
    last = [PIXELS[-1, -1], decoded(jpeg(PIXELS[:20, :10]), 20, 10, 3)[-1, -1]]
    np.testing.assert_array_equal(found, np.broadcast_to(np.array(last)[:, None, None], (2, 4, 4, 3)))


KINDS = {
    "progressive": lambda: jpeg(SMOOTH, progressive=True, quality=95),
    "colours at half the size": lambda: jpeg(SMOOTH, subsampling="4:2:0", quality=95),
    "print colours": lambda: as_file(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95),
    "sixteen bits": lambda: tf.io.encode_png(SMOOTH.astype(np.uint16) * 257).numpy(),
    "an opaque alpha channel": lambda: png(np.dstack([SMOOTH, np.full_like(SMOOTH[..., :1], 255)])),
    "interlaced": lambda: png(SMOOTH),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_every_kind_show_the_same_picture(kind):
    content = KINDS[kind]()
    shown = decoded(content, *SMOOTH.shape).astype(int)
    assert np.abs(shown - SMOOTH).max() <= (12 if content.startswith(b"\xff\xd8") else 0)


def test_a_file_of_two_levels_shows_black_and_white():
    picture = Image.fromarray(PIXELS).convert("1")
    expected = np.asarray(picture)[..., None] * np.uint8(255)
    np.testing.assert_array_equal(decoded(as_file(picture, "PNG"), 24, 36, 1), expected)


def on_white(picture: Image.Image) -> np.ndarray:
    """What Pillow shows of a picture with transparency."""
    background = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(background, picture.convert("RGBA")).convert("RGB"))


def drawn_in_alpha(colour: int, mode: str) -> Image.Image:
    """A white square on nothing: all pixels have one colour, and only their alpha tells what is drawn."""
    alpha = np.zeros((24, 36), np.uint8)
    alpha[6:18, 8:20] = 255
    alpha[18:20, 8:20] = 100
    grey = np.full_like(alpha, colour)
    if mode.startswith("P"):
        levels = (alpha > 0).astype(np.uint8)
        picture = Image.fromarray(levels).convert("P") if mode == "P" else Image.fromarray(255 * levels).quantize(2)
        picture.putpalette([colour] * 6)
        picture.info["transparency"] = bytes([0, 200])
        return picture
    channels = [grey, alpha] if mode == "LA" else [grey, grey, grey, alpha]
    return Image.fromarray(np.dstack(channels))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "P of 2 colours"])
def test_what_is_drawn_in_the_alpha_channel_alone_is_seen_on_white(mode, channels):
    content = as_file(drawn_in_alpha(0, mode), "PNG")
    expected = on_white(Image.open(io.BytesIO(content)))
    assert len(np.unique(expected)) > 1
    found = decoded(content, 24, 36, channels).astype(int)
    assert np.abs(found - expected[..., :channels]).max() <= 1
    windowed = images.decode_batch(tf.constant([content]), (24, 36, channels), lambda i, h, w: tf.stack([0, 0, h, w]))
    np.testing.assert_array_equal(windowed[0], found)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "1", "P", "P of 8 colours", "P of 2 colours", "RGB", "LA", "RGBA", "I;16"])
def test_opaque_files_have_the_pixels_that_tensorflow_decodes(mode, channels):
    """To the bit: what was trained on yesterday is the same today."""
    picture = Image.fromarray(PIXELS)
    if mode == "I;16":
        picture = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 250)
    elif "of" in mode:
        picture = picture.quantize(int(mode.split()[2]))
    else:
        picture = picture.convert(mode)
    content = as_file(picture, "PNG")
    expected = tf.io.decode_image(content, channels=channels, expand_animations=False)
    np.testing.assert_array_equal(decoded(content, 24, 36, channels), expected)
