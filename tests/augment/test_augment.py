"""Augmentation: keyed to position and nothing else, and right to the pixel where it can be."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pipeline import augment
from pipeline.augment import Operation, draws
from pipeline.errors import UsageError
from pipeline.random.keys import Purpose, uniform

EVERYTHING = "shift:2,rotate:15,scale:0.1,flip,crop:3,cutout:6"
COLOURS = "randaugment:9:3,brightness:0.4,contrast:0.4,saturation:0.4,hue:0.1,erasing:0.5"
N = 61
GOLDEN_WINDOWS = [[65, 248, 328, 361], [0, 81, 480, 407]]
GOLDEN = "215941a251f310d2e9ee6f915dbfbff419b727ad12bd8160509862f97ce91718"


def images_of(n=N, height=28, width=24, channels=1, seed=0):
    return np.random.default_rng(seed).integers(1, 256, [n, height, width, channels], np.uint8)


def augmented(text, images, positions=None, seed=1, epoch=0):
    """Each position's example has the same number."""
    positions = tf.constant(np.arange(len(images)) if positions is None else positions, tf.int64)
    epochs = tf.fill(positions.shape, tf.constant(epoch, tf.int64))
    return augment.apply(augment.parse(text), tf.constant(images), positions, seed, positions, epochs).numpy()


def test_parse():
    assert augment.parse("") == ()
    assert augment.parse("shift:2, flip,scale:0.25") == (
        Operation("shift", 2),
        Operation("flip", 0),
        Operation("scale", 0.25),
    )


def test_parse_imports_no_tensorflow():
    code = (
        f"import sys; from pipeline import augment; augment.parse('{EVERYTHING}'); print('tensorflow' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shfit:2", "'shfit' is unknown; did you mean shift"),
        ("flip,,shift:1", "'' is unknown"),
        ("shift", "'shift' needs a whole number of pixels, above 0 and at most 9999; write it as shift:2"),
        ("shift:1.5", "'shift:1.5' needs a whole number"),
        ("shift:0", "'shift:0' needs"),
        ("cutout:-3", "'cutout:-3' needs"),
        ("rotate:181", "'rotate:181' needs degrees, above 0 and at most 180"),
        ("rotate:nan", "'rotate:nan' needs"),
        ("scale:1", "'scale:1' needs a fraction"),
        ("elastic:0", "'elastic:0' needs pixels, above 0"),
        ("flip:0.5", "'flip:0.5' has an amount, which flip does not take; write flip"),
        ("flip,shift:1,flip", "names flip twice"),
        (
            "flip,alternating_flip",
            "has both flip and alternating_flip; give one of them",
        ),
        (
            "randaugment:31",
            "'randaugment:31' needs a whole magnitude, above 0 and at most 30; write it as",
        ),
        ("randaugment:9:0", "needs a number of times from 1 to 8 in the end; write it as randaugment:9:2"),
        ("randaugment:9:", "needs a number of times from 1 to 8"),
        ("mixup", "'mixup' needs the alpha of a Beta distribution, above 0 and at most 10; write it as mixup:0.2"),
        ("hue:0.6", "'hue:0.6' needs a share of the colour circle, above 0 and at most 0.5"),
        ("resize_crop:1.5", "'resize_crop:1.5' needs a share of the area, above 0 and at most 1; write it as"),
        ("resize_crp:0.5", "'resize_crp' is unknown; did you mean resize_crop"),
    ],
)
def test_parse_refuses(text, words):
    with pytest.raises(UsageError, match=words):
        augment.parse(text)


def test_no_operation_is_the_identity():
    np.testing.assert_array_equal(augmented("", images_of()), images_of())


@pytest.mark.parametrize(
    "text",
    [
        *("shift:2", "crop:3", "flip", "rotate:15", "scale:0.1", "cutout:6", "elastic:2", "shear:20", "reflect_crop:3"),
        *("alternating_flip", "alternating_flip,rotate:15"),
        *(EVERYTHING, COLOURS),
    ],
)
def test_an_image_is_augmented_alike_in_whatever_batch(text):
    images, positions = images_of(channels=3), np.arange(10**10, 10**10 + N)
    whole = augmented(text, images, positions)
    assert whole.shape == images.shape and whole.dtype == np.uint8
    assert (whole != images).any()
    for size in (1, 7, 16):
        parts = [augmented(text, images[i : i + size], positions[i : i + size]) for i in range(0, N, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(3).permutation(N)
    np.testing.assert_array_equal(augmented(text, images[order], positions[order]), whole[order])


def test_the_same_inside_tf_data_with_a_batch_of_unknown_size():
    images, operations = images_of(), augment.parse(EVERYTHING)
    dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(N))).batch(9)
    mapped = dataset.map(lambda batch, positions: augment.apply(operations, batch, positions, 1))
    np.testing.assert_array_equal(np.concatenate(list(mapped.as_numpy_iterator())), augmented(EVERYTHING, images))


@pytest.mark.parametrize("text", ["shift:2", "crop:3", "flip", "rotate:15", "scale:0.1", "shear:20", "cutout:6"])
def test_seed_and_position_both_count(text):
    images = np.repeat(images_of(1), N, axis=0)
    first = augmented(text, images)
    assert len(np.unique(first.reshape(N, -1), axis=0)) >= 2
    assert (first != augmented(text, images, seed=2)).any()
    assert (first != augmented(text, images, positions=np.arange(N) + N)).any()


def shifted(image, dx, dy, mode="constant"):
    """The image with its content moved by (dx, dy) pixels; zeros come in, or what this mode of numpy.pad gives."""
    height, width, _ = image.shape
    padded = np.pad(image, ((height, height), (width, width), (0, 0)), mode)
    return padded[height - dy : 2 * height - dy, width - dx : 2 * width - dx]


@pytest.mark.parametrize(
    ("text", "most", "mode"), [("shift:2", 2, "constant"), ("crop:3", 3, "constant"), ("reflect_crop:3", 3, "reflect")]
)
def test_shift_is_exact_and_reaches_every_place(text, most, mode):
    images = images_of(400, 9, 8, 2)
    places = range(-most, most + 1)
    seen = set()
    for before, after in zip(images, augmented(text, images), strict=True):
        found = [(dx, dy) for dx in places for dy in places if np.array_equal(after, shifted(before, dx, dy, mode))]
        assert len(found) == 1
        seen |= set(found)
    assert seen == {(dx, dy) for dx in places for dy in places}


def test_a_shift_beyond_the_image_leaves_zeros():
    assert (augmented("shift:9999", images_of(3)) == 0).all()


@pytest.mark.parametrize("width", [7, 8])
def test_flip_reverses_half_of_the_images_exactly(width):
    images = images_of(400, 6, width, 3)
    out = augmented("flip", images)
    flipped = np.array([np.array_equal(after, before[:, ::-1]) for before, after in zip(images, out, strict=True)])
    np.testing.assert_array_equal(out[~flipped], images[~flipped])
    assert 160 <= flipped.sum() <= 240  # four standard deviations


@pytest.mark.parametrize("after", ["", ",shift:2", ",reflect_crop:3", ",cutout:4"])
def test_alternating_flip_shows_the_other_side_in_the_next_epoch(after):
    images = images_of(400, 6, 8, 3)
    first, second = (augmented(f"alternating_flip{after}", images, epoch=epoch) for epoch in (0, 1))
    np.testing.assert_array_equal(augmented(f"alternating_flip{after}", images[:, :, ::-1]), second)
    np.testing.assert_array_equal(augmented(f"alternating_flip{after}", images, epoch=2), first)
    mirrored = (augmented("alternating_flip", images) == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert 160 <= mirrored.sum() <= 240  # four standard deviations
    other_seed = (augmented("alternating_flip", images, seed=2) == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored != other_seed).any()


def test_geometric_operations_follow_the_order_written():
    images = images_of(200, 9, 9)
    flips = (augmented("flip", images) == images[:, :, ::-1]).all(axis=(1, 2, 3))
    shifts = augmented("shift:2", images)
    np.testing.assert_array_equal(augmented("shift:2,flip", images)[flips], shifts[flips][:, :, ::-1])
    before = np.where(flips[:, None, None, None], images[:, :, ::-1], images)
    np.testing.assert_array_equal(augmented("flip,shift:2", images), augmented("shift:2", before))


def test_an_operation_does_not_change_anothers_draws():
    zeros = augmented("cutout:6", images_of()) == 0
    np.testing.assert_array_equal(augmented("flip,cutout:6", images_of()) == 0, zeros)
    np.testing.assert_array_equal(augmented("cutout:6,flip", images_of()) == 0, zeros)


def test_no_two_operations_share_a_draw():
    columns = [column for own in draws._COLUMNS.values() for column in own]
    assert sorted(columns) == list(range(99))


def test_scale_is_bilinear_and_rounds_to_the_nearest_level():
    """On an even ramp of levels the drawn size gives every level by hand."""
    images = np.broadcast_to(10 * np.arange(21, dtype=np.uint8)[:, None], [50, 21, 21, 1])
    drawn = uniform(1, Purpose.AUGMENTATION, tf.range(50, dtype=tf.int64), 9)[:, 3].numpy()
    sizes = 1 + 0.2 * (2 * drawn - 1)
    expected = 100 + 10 * (np.arange(6, 15) - 10) / sizes[:, None]
    middle = augmented("scale:0.2", images)[:, 10, 6:15, 0]
    assert np.abs(middle - expected).max() <= 0.501


def test_rotation_turns_about_the_centre():
    """A dot at distance 10 lands where the drawn angle puts it, within half a pixel, and stays in the range."""
    images = np.zeros([200, 31, 31, 1], np.uint8)
    images[:, 15, 25] = 255
    rows, columns = centres_of(augmented("rotate:30", images))
    angles = np.degrees(np.arctan2(rows - 15, columns - 15))
    np.testing.assert_allclose(np.hypot(rows - 15, columns - 15), 10, atol=0.5)
    assert np.abs(angles).max() <= 33 and angles.min() < -25 and angles.max() > 25
    drawn = uniform(1, Purpose.AUGMENTATION, tf.range(200, dtype=tf.int64), 9)[:, 2].numpy() * 60 - 30
    np.testing.assert_allclose(np.abs(angles), np.abs(drawn), atol=3)


def test_shear_slides_rows_by_their_distance_from_the_middle():
    """Three dots above each other come to lie on the line that the drawn angle leans, in their own rows."""
    images = np.zeros([200, 31, 31, 1], np.uint8)
    images[:, [5, 15, 25], 15] = 255
    sheared = augmented("shear:30", images)
    upper, middle, lower = (sheared[:, row, :, 0].argmax(axis=1) for row in (5, 15, 25))
    assert (sheared[:, np.setdiff1d(range(31), [5, 15, 25])] == 0).all() and (middle == 15).all()
    drawn = uniform(1, Purpose.AUGMENTATION, tf.range(200, dtype=tf.int64), 64)[:, 63].numpy() * 60 - 30
    slid = 10 * np.tan(np.radians(drawn))
    assert np.abs(upper - 15 - slid).max() <= 0.51 and np.abs(lower - 15 + slid).max() <= 0.51


def test_scale_changes_sizes_within_its_fraction():
    images = np.zeros([200, 41, 41, 1], np.uint8)
    images[:, 10:31, 10:31] = 255  # a square of side 21
    sides = np.sqrt(augmented("scale:0.4", images).astype(float).sum(axis=(1, 2, 3)) / 255)
    assert 0.6 * 21 - 1 < sides.min() < 0.7 * 21 and 1.3 * 21 < sides.max() < 1.4 * 21 + 1


def test_elastic_bends_by_the_field_between_its_points():
    """On an even ramp of levels, along each axis, each pixel gives its displacement by hand."""
    side, most, n = 21, 3, 30
    points = np.linspace(0, side - 1, 5)
    drawn = uniform(1, Purpose.AUGMENTATION, tf.range(n, dtype=tf.int64), 63)[:, 13:].numpy()
    grids = (drawn.reshape(n, 2, 5, 5) * 2 - 1) * most
    places = np.arange(side)
    by_rows = np.apply_along_axis(lambda column: np.interp(places, points, column), 2, grids)
    across, down = np.apply_along_axis(lambda row: np.interp(places, points, row), 3, by_rows).transpose(1, 0, 2, 3)
    inner = (slice(None), slice(most, -most), slice(most, -most))
    ramp = 10 * np.arange(side, dtype=np.uint8)
    for axis, field in ((2, across), (1, down)):
        shape = [1, 1, side] if axis == 2 else [1, side, 1]
        images = np.broadcast_to(ramp.reshape(shape)[..., None], [n, side, side, 1])
        out = augmented(f"elastic:{most}", images)[..., 0]
        assert np.abs(out - (ramp.reshape(shape) + 10 * field))[inner].max() <= 0.51
    assert np.abs(across).max() > most / 2 and np.abs(down).max() > most / 2


def test_elastic_reads_zeros_from_outside():
    images = np.full([50, 11, 11, 3], 255, np.uint8)
    out = augmented("elastic:30", images)
    assert set(np.unique(out[:, 0])) > {0, 255} and (out[..., 0] == out[..., 1]).all()
    assert (out == 0).mean() > 0.4  # most of its places lie outside of an image that is so small


@pytest.mark.parametrize("text", ["shift:2", "rotate:15,scale:0.1", "flip"])
def test_elastic_bends_what_the_maps_made(text):
    images = images_of(channels=3)
    plain = augmented(text, images).astype(int)
    assert np.abs(augmented(f"{text},elastic:0.0001", images) - plain).max() <= 1
    np.testing.assert_array_equal(augmented(f"{text},elastic:2", images), augmented(f"elastic:2,{text}", images))


def centres_of(images):
    mass = images[..., 0] / images.sum(axis=(1, 2, 3), keepdims=False)[:, None, None]
    rows, columns = np.indices(images.shape[1:3])
    return (mass * rows).sum(axis=(1, 2)), (mass * columns).sum(axis=(1, 2))


@pytest.mark.parametrize("side", [5, 6])
def test_cutout_is_one_square_that_may_reach_outside(side):
    images = images_of(400, 20, 30, 2)
    out = augmented(f"cutout:{side}", images)
    cut = out == 0
    np.testing.assert_array_equal(out[~cut], images[~cut])
    areas = set()
    for hole in cut:
        rows, columns = hole.any(axis=(1, 2)), hole.any(axis=(0, 2))
        np.testing.assert_array_equal(hole, np.broadcast_to((rows[:, None] & columns)[..., None], hole.shape))
        areas.add((rows.sum(), columns.sum()))
    assert max(areas) == (side, side)
    assert min(rows for rows, _ in areas) == min(columns for _, columns in areas) == side - side // 2


def windows(text, height, width, positions, seed=1):
    """Top, left, height and width for a picture of that size at each position: [n, 4]."""
    window = augment.window(augment.parse(text), tf.constant(positions, tf.int64), seed)
    size = tf.constant(height), tf.constant(width)
    return np.array([window(tf.constant(i), *size).numpy() for i in range(len(positions))])


def test_without_resize_crop_there_is_no_window():
    assert augment.window(augment.parse(EVERYTHING), tf.range(3, dtype=tf.int64), 1) is None
    np.testing.assert_array_equal(augmented("resize_crop:0.5", images_of()), images_of())


def test_windows_lie_in_the_picture_and_have_the_area_and_aspect_asked_for():
    height, width = 600, 1000  # so large that whole pixels do not matter, and a tall window may not fit
    top, left, part_height, part_width = windows("resize_crop:0.25", height, width, np.arange(600)).T
    assert min(top) >= 0 and min(left) >= 0
    assert max(top + part_height) <= height and max(left + part_width) <= width
    assert max(top + part_height) > 0.98 * height and min(top) < 0.02 * height
    assert max(left + part_width) > 0.98 * width and min(left) < 0.02 * width
    fits = part_height < height
    share, aspect = part_height * part_width / (height * width), part_width / part_height
    assert 0.245 < min(share[fits]) < 0.3 and max(share[fits]) > 0.7
    assert 0.74 < min(aspect[fits]) < 0.8 and 1.25 < max(aspect[fits]) < 1.35
    assert abs(np.mean(np.log(aspect[fits & (share < 0.4)]))) < 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_windows_of_tiny_pictures_hold_a_pixel(size):
    top, left, height, width = windows("resize_crop:0.01", *size, np.arange(50)).T
    assert min(height) == min(width) == 1
    assert max(top + height) <= size[0] and max(left + width) <= size[1]


def test_a_window_is_a_function_of_the_position_and_the_seed():
    positions = np.arange(10**10, 10**10 + 20)
    whole = windows("resize_crop:0.1", 300, 200, positions)
    np.testing.assert_array_equal(windows("flip,resize_crop:0.1,cutout:3", 300, 200, positions[7:]), whole[7:])
    assert len(np.unique(whole, axis=0)) == 20
    assert not (windows("resize_crop:0.1", 300, 200, positions, seed=2) == whole).all(axis=1).any()


def test_golden_windows():
    assert windows("resize_crop:0.08", 480, 640, [0, 12345], seed=7).tolist() == GOLDEN_WINDOWS


def test_golden():
    """No upgrade may change what an image becomes unnoticed."""
    image = np.arange(28 * 28, dtype=np.uint16).reshape(1, 28, 28, 1).astype(np.uint8)
    out = augmented(EVERYTHING, image, positions=[12345], seed=7)
    assert hashlib.sha256(out.tobytes()).hexdigest() == GOLDEN
