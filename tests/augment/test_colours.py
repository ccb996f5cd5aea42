"""Colours, RandAugment and erasing: to the level of Pillow, and drawn as they say."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
from test_augment import augmented, images_of

from pipeline import augment
from pipeline.augment import colours, randaugment, trivialaugment
from pipeline.augment.draws import draws_of
from pipeline.engine.batches import Batches
from pipeline.engine.plan import Plan
from pipeline.errors import UsageError
from pipeline.sources import memory

N = 40


def pictures(channels=3):
    """Pictures whose histograms differ: few levels, narrow ranges, one level alone."""
    images = images_of(N, 12, 15, channels)
    images[1::4] = images[1::4] // 64 * 50 + 10
    images[2::4] = images[2::4] // 4 + 100
    images[3] = 77
    return images


def pillow(images, change):
    squeezed = images[..., 0] if images.shape[-1] == 1 else images
    changed = np.stack([np.asarray(change(Image.fromarray(image), i)) for i, image in enumerate(squeezed)])
    return changed.reshape(images.shape)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "enhance"),
    [
        (colours.brightness, ImageEnhance.Brightness),
        (colours.contrast, ImageEnhance.Contrast),
        (colours.saturation, ImageEnhance.Color),
        (colours.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_blends_have_the_levels_of_pillow(ours, enhance, channels):
    factors = np.linspace(0.1, 1.9, N, dtype=np.float32)
    expected = pillow(pictures(channels), lambda image, i: enhance(image).enhance(float(factors[i])))
    np.testing.assert_array_equal(ours(tf.constant(pictures(channels)), factors), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda images: colours.posterize(images, 5), lambda image, i: ImageOps.posterize(image, 5)),
        (lambda images: colours.posterize(images, 8), lambda image, i: ImageOps.posterize(image, 8)),
        (lambda images: colours.solarize(images, 178.5), lambda image, i: ImageOps.solarize(image, 178.5)),
        (colours.autocontrast, lambda image, i: ImageOps.autocontrast(image)),
        (colours.equalize, lambda image, i: ImageOps.equalize(image)),
    ],
)
def test_tables_have_the_levels_of_pillow(ours, theirs, channels):
    np.testing.assert_array_equal(ours(tf.constant(pictures(channels))), pillow(pictures(channels), theirs))


def test_equalize_of_many_pixels_has_the_levels_of_pillow():
    images = images_of(2, 90, 101, 3)
    expected = pillow(images, lambda image, i: ImageOps.equalize(image))
    np.testing.assert_array_equal(colours.equalize(tf.constant(images)), expected)


def test_hue_turns_the_circle_of_hsv():
    images, turns = images_of(3, 5, 6, 3), np.float32([-0.2, 0.05, 0.5])
    for after, before, turn in zip(colours.hue(tf.constant(images), turns).numpy(), images, turns, strict=True):
        for pixel, found in zip(before.reshape(-1, 3) / 255, after.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            np.testing.assert_allclose(found, np.array(expected) * 255, atol=0.51)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_jitter_draws_its_factor_from_its_range(name):
    images = images_of(N, 6, 5, 3)
    (drawn,) = draws_of([name], tf.range(N, dtype=tf.int64), 1)[name]
    factors = 1 + 0.4 * (2 * drawn - 1)
    assert factors.numpy().min() < 0.7 and factors.numpy().max() > 1.3
    np.testing.assert_array_equal(augmented(f"{name}:0.4", images), getattr(colours, name)(images, factors))


def bilinear(image, a, b, tx, c, d, ty):
    """The image read at (a x + b y + tx, c x + d y + ty) from its centre, and black around it, pixel by pixel."""
    height, width, _ = image.shape
    framed = np.pad(image.astype(np.float64), ((height, height), (width, width), (0, 0)))
    out = np.zeros_like(image)
    for row, column in np.ndindex(height, width):
        x, y = column - (width - 1) / 2, row - (height - 1) / 2
        u, v = a * x + b * y + tx + (width - 1) / 2, c * x + d * y + ty + (height - 1) / 2
        left, top = int(np.floor(u)), int(np.floor(v))
        corners = framed[top + height : top + height + 2, left + width : left + width + 2]
        across = corners[:, 0] * (1 - u + left) + corners[:, 1] * (u - left)
        out[row, column] = np.round(across[0] * (1 - v + top) + across[1] * (v - top))
    return out


def by_pillow(image, shear, move, degrees, blend, bits, threshold):
    """The image after each operation of RandAugment. move: across and down, in whole pixels."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [
        image,
        bilinear(image, 1, shear, 0, 0, 1, 0),
        bilinear(image, 1, 0, 0, shear, 1, 0),
        bilinear(image, 1, 0, move[0], 0, 1, 0),
        bilinear(image, 1, 0, 0, 0, 1, move[1]),
        bilinear(image, cosine, -sine, 0, sine, cosine, 0),
        *(
            np.asarray(enhance(Image.fromarray(image)).enhance(1 + blend))
            for enhance in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Sharpness)
        ),
        np.asarray(ImageOps.posterize(Image.fromarray(image), bits)),
        np.asarray(ImageOps.solarize(Image.fromarray(image), threshold)),
        np.asarray(ImageOps.autocontrast(Image.fromarray(image))),
        np.asarray(ImageOps.equalize(Image.fromarray(image))),
    ]


def assert_alike(changes, image, expected):
    found = [change(tf.constant(image[None]))[0].numpy() for change in changes]
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert np.abs(ours.astype(int) - theirs).max() <= (number in (1, 2, 5)), number  # rounding of the maps


@pytest.mark.parametrize("direction", [0.2, 0.7])
def test_the_operations_of_randaugment_at_magnitude_15(direction):
    """Half of the paper's strengths, at each direction."""
    image, sign = images_of(1, 13, 16, 3)[0], -1 if direction < 0.5 else 1
    move = sign * int(16 * 75 / 331), sign * int(13 * 75 / 331)
    expected = by_pillow(image, 0.15 * sign, move, 15 * sign, 0.45 * sign, 6, 127.5)
    changes = randaugment.operations(15, tf.constant(direction), tf.TensorShape([1, 13, 16, 3]))
    assert_alike(changes, image, expected)


@pytest.mark.parametrize("direction", [0.2, 0.7])
@pytest.mark.parametrize("level, bits", [(0, 8), (7, 7), (30, 2)])
def test_the_operations_of_trivialaugment(level, bits, direction):
    """Shares of the wide space's most: 0.99, 32 pixels, 135 degrees, 0.99, 6 bits, all levels."""
    image, sign = images_of(1, 40, 44, 3)[0], -1 if direction < 0.5 else 1
    share = sign * level / 30
    move = int(32 * share), int(32 * share)
    expected = by_pillow(image, 0.99 * share, move, 135 * share, 0.99 * share, bits, 255 - 255 * abs(share))
    assert_alike(trivialaugment.operations(level, tf.constant(direction)), image, expected)


def test_randaugment_does_the_drawn_operations_one_after_another():
    images, positions = images_of(30, 9, 8, 3), tf.range(30, dtype=tf.int64)
    drawn = np.stack(draws_of(["randaugment"], positions, 1)["randaugment"][:4], axis=1)
    out = augmented("randaugment:12", images)
    used = set()
    for image, after, (first, to, second, back) in zip(images, out, drawn, strict=True):
        image = image[None]
        for which, direction in ((first, to), (second, back)):
            used.add(int(which * 14))
            image = randaugment.operations(12, tf.constant(direction), tf.TensorShape([1, 9, 8, 3]))[int(which * 14)](
                tf.constant(image)
            ).numpy()
        np.testing.assert_array_equal(after, image[0])
    assert len(used) > 10


def test_trivialaugment_does_the_drawn_operation():
    images, positions = images_of(60, 9, 8, 3), tf.range(60, dtype=tf.int64)
    drawn = np.stack(draws_of(["trivialaugment"], positions, 1)["trivialaugment"], axis=1)
    used = set()
    for image, after, (which, level, direction) in zip(images, augmented("trivialaugment", images), drawn, strict=True):
        used.add((int(which * 14), int(level * 31)))
        change = trivialaugment.operations(int(level * 31), tf.constant(direction))[int(which * 14)]
        np.testing.assert_array_equal(after, change(tf.constant(image[None]))[0])
    assert len({which for which, _ in used}) > 10 and len({level for _, level in used}) > 20


def test_erasing_blackens_a_rectangle_in_its_share_of_the_images():
    images = images_of(400, 40, 50, 2)
    holes = augmented("erasing:0.25", images) == 0
    np.testing.assert_array_equal(augmented("erasing:0.25", images)[~holes], images[~holes])
    erased = holes.any(axis=(1, 2, 3))
    assert 65 <= erased.sum() <= 135  # four standard deviations
    assert (augmented("erasing:1", images) == 0).any(axis=(1, 2, 3)).all()
    shares, aspects = [], []
    for hole in holes[erased]:
        rows, columns = hole.any(axis=(1, 2)), hole.any(axis=(0, 2))
        np.testing.assert_array_equal(hole, np.broadcast_to((rows[:, None] & columns)[..., None], hole.shape))
        shares.append(hole.mean())
        aspects.append(rows.sum() / columns.sum())
    assert 0.015 < min(shares) < 0.05 and 0.28 < max(shares) < 0.35
    assert 0.25 < min(aspects) < 0.5 and 2 < max(aspects) < 4


def test_colours_of_grey_images_are_refused():
    source = memory.InMemory(images_of(4), np.zeros(4, np.int32), ("one",), "fake")
    with pytest.raises(UsageError, match="hue needs colours, and the images are grey; leave hue out"):
        Batches(Plan(1, 2, 1, 4), source, augment.parse("hue:0.1"))
