"""Pictures say what the numbers do: pixels are looked at where they stand."""

import time

import numpy as np
import pytest

from pipeline.monitoring import pictures
from pipeline.monitoring.pictures import INK, PAPER, RIGHT, Caption

NAMES = tuple("abcd")


def pixels(image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def area(image, colour) -> int:
    return int((pixels(image) == colour).all(axis=-1).sum())


def reddish(image) -> np.ndarray:
    return pixels(image)[..., 0] > pixels(image)[..., 1] + 50


def test_a_mistake_is_red_and_stands_where_its_row_meets_its_column():
    perfect = pictures.confusion(np.diag([5, 5, 5, 5]), NAMES)
    counts = np.diag([5, 5, 5, 5])
    counts[3, 0] = 5
    flawed = pictures.confusion(counts, NAMES)
    rows, columns = np.nonzero(reddish(flawed))
    blue = np.argwhere((pixels(perfect) == RIGHT).all(axis=-1))
    cell = pictures.LARGEST_CELL
    assert blue[:, 0].max() - cell < rows.min() and rows.max() <= blue[:, 0].max()  # in the last row
    assert blue[:, 1].min() <= columns.min() and columns.max() < blue[:, 1].min() + cell  # in the first column
    assert not reddish(perfect).any()
    assert area(flawed, RIGHT) < area(perfect, RIGHT)


def test_bars_are_as_long_as_the_accuracy():
    def blue(right: int) -> int:
        return area(pictures.confusion(np.array([[right, 100 - right], [0, 100]]), NAMES[:2]), RIGHT)

    half, quarter = blue(50), blue(25)
    thickness = pictures.LARGEST_CELL * 3 // 5
    assert half - quarter == pytest.approx(pictures.BAR / 4 * thickness, abs=2 * thickness)


@pytest.mark.parametrize("classes", [1, 2, 10, 30, 100, 1000])
def test_any_number_of_classes_is_drawn_quickly_and_fits_a_screen(classes):
    counts = np.random.RandomState(0).poisson(3, [classes, classes])
    started = time.process_time()
    image = pictures.confusion(counts, [f"class number {i}" for i in range(classes)])
    assert time.process_time() - started < 1
    assert max(image.size) < 1300


def test_a_class_without_examples_is_drawn():
    assert pictures.confusion(np.array([[3, 0], [0, 0]]), NAMES[:2]).size[0] > 0


def test_images_stand_in_rows_with_their_captions_below():
    white, grey = np.full([28, 28, 1], 255, np.uint8), np.full([10, 20, 3], 128, np.uint8)
    captions = [[Caption("is a"), Caption("not b", pictures.WRONG)]] * 5
    picture = pictures.captioned([grey, white, grey, white, grey], captions, "five")
    assert area(picture, (128, 128, 128)) == 3 * pictures.TILE * (pictures.TILE // 2)
    assert area(picture, pictures.WRONG) > 0 and area(picture, INK) > 0
    one_row = pictures.captioned([grey] * 4, captions[:4], "four")
    assert picture.height - one_row.height > pictures.TILE


def test_long_names_widen_the_columns_and_are_cut():
    def width(name: str) -> int:
        return pictures.captioned([np.zeros([4, 4, 1], np.uint8)], [[Caption(name)]], "").width

    assert width("a" * 30) > width("a")
    assert pictures.shortened("a" * 40) == "a" * (pictures.LONGEST_NAME - 1) + "…"
    assert pictures.shortened("short") == "short"


def test_filters_share_one_scale_on_which_zero_is_grey():
    kernel = np.zeros([5, 5, 1, 3], np.float32)
    kernel[..., 0], kernel[..., 1] = 2.0, -1.0
    picture = pictures.filters(kernel)
    tile = pictures.FILTER_TILE**2
    assert [area(picture, (level,) * 3) for level in (64, 128)] == [tile, tile]
    assert area(picture, PAPER) >= tile  # the filter at the largest value, and the gaps
    colour = np.zeros([3, 3, 3, 1], np.float32)
    colour[..., 0, 0] = 1.0
    assert area(pictures.filters(colour), (255, 128, 128)) == tile


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_filters_without_a_scale_are_drawn(value):
    assert pictures.filters(np.full([3, 3, 1, 4], value, np.float32)).size[0] > 0


def test_no_more_filters_than_can_be_seen():
    assert pictures.filters(np.ones([3, 3, 1, 500])).size == pictures.filters(np.ones([3, 3, 1, 64])).size
