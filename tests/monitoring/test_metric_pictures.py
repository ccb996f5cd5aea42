"""Pictures of metrics: a matrix of many classes shows the worst of them, a calibration what is right."""

import numpy as np
import pytest

from pipeline.metrics.calibration import calibrate
from pipeline.monitoring import metric_pictures, pictures
from pipeline.monitoring.pictures import RIGHT, WRONG


def area(image, colour) -> int:
    return int((np.asarray(image.convert("RGB")) == colour).all(axis=-1).sum())


def test_a_matrix_of_a_thousand_classes_shows_the_worst_pair_large_enough_to_read():
    counts = np.diag(np.full(1000, 50))
    names = [f"class {i}" for i in range(1000)]
    flawless = metric_pictures.confusion(counts, names)
    counts[[3, 900], [900, 3]] = 50
    image = metric_pictures.confusion(counts, names)
    assert max(image.size) < 1300
    red = np.asarray(image).astype(int)
    assert ((red[..., 0] > red[..., 1] + 50).sum()) > 2 * (pictures.LARGEST_CELL - 2) ** 2  # two cells at full size
    assert area(flawless, WRONG) == 0 and area(image, WRONG) > 2 * 10 * pictures.BAR / 2 * 0.9  # and two bars of a half


def test_a_matrix_of_few_classes_is_whole():
    counts = np.diag(np.full(metric_pictures.MOST_WHOLE, 5))
    names = list(map(str, range(len(counts))))
    drawn = metric_pictures.confusion(counts, names)
    assert drawn.tobytes() == pictures.confusion(counts, names).tobytes()


def test_bars_of_a_calibration_are_as_high_as_the_share_that_is_right():
    def blue(right: int) -> int:
        image = metric_pictures.calibration(calibrate(np.full(100, 0.99, np.float32), np.arange(100) < right))
        return area(image, RIGHT)

    width = metric_pictures.SIDE // 15 - 1
    assert blue(80) - blue(30) == pytest.approx(metric_pictures.SIDE / 2 * width, rel=0.02)
