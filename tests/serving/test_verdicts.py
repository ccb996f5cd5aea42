import numpy as np
import pytest

from pipeline.serving import verdicts

LIKELIEST = [("seven", 0.75), ("one", 0.2), ("nine", 0.05)]
ROWS = len(LIKELIEST) * (verdicts.TEXT_SIZE + 2 * verdicts.MARGIN)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((28, 28, 1), (280, 280)), ((100, 10, 3), (300, 30)), ((300, 400, 3), (300, 400)), ((3000, 30, 3), (1024, 10))],
)
def test_small_images_are_enlarged_and_large_ones_reduced(size, shown):
    drawn = verdicts.draw(np.zeros(size, np.uint8), LIKELIEST)
    assert drawn.mode == "RGB" and drawn.height == shown[0] + ROWS
    assert drawn.width >= shown[1]


def test_pixels_stay_what_they_are_and_grey_stays_grey():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    drawn = np.asarray(verdicts.draw(pixels, LIKELIEST))
    np.testing.assert_array_equal(drawn[:256:16, :256:16], np.repeat(pixels, 3, axis=2))
    colours = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(verdicts.draw(colours, LIKELIEST))[:256, :256], colours)


def test_bars_are_as_long_as_the_probabilities():
    drawn = np.asarray(verdicts.draw(np.zeros((256, 256, 3), np.uint8), LIKELIEST))
    bars = [(drawn[256 + ROWS // 3 * i + 2] != np.array([0x20, 0x21, 0x24])).any(axis=1).sum() for i in range(3)]
    assert bars == pytest.approx([0.75 * 256, 0.2 * 256, 0.05 * 256], abs=1.5)


def test_every_line_says_something_of_its_own():
    drawn = [np.asarray(verdicts.draw(np.zeros((256, 256, 1), np.uint8), [(name, 0.0)])) for name in ("seven", "one")]
    assert (drawn[0][256:] == 255).any() and (drawn[0] != drawn[1]).any()


def test_a_long_name_widens_the_image():
    drawn = verdicts.draw(
        np.zeros((28, 28, 1), np.uint8), [("a name that goes on for quite a while, and then on", 1.0)]
    )
    assert drawn.width > 300
