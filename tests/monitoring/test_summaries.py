"""Summaries hold what TensorBoard's own would."""

import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.util import tensor_util

from pipeline.monitoring import summaries

ARRAYS = {
    "normal": np.random.RandomState(0).standard_normal(10_000).astype(np.float32),
    "whole numbers": np.arange(31.0),
    "constant": np.full(7, 3.0),
    "one": np.array([-2.5]),
    "empty": np.array([]),
    "two dimensions": np.linspace(0, 1, 12).reshape(3, 4),
    "several blocks": np.sort(np.random.RandomState(1).standard_normal(2 * summaries.BLOCK + 5)),
    "as far apart as can be": np.array([-3.4e38, 3.4e38], np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_buckets_are_those_of_tensorboard(name):
    [value] = histogram_pb("x", ARRAYS[name]).value
    expected = tensor_util.make_ndarray(value.tensor)
    found = summaries.buckets(ARRAYS[name])
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=1e-12, atol=1e-12)
    assert found[:, 2].sum() == ARRAYS[name].size
    assert np.abs(np.cumsum(found[:, 2] - expected[:, 2])).max() <= 1  # one at an edge may stand beside it


def test_a_histogram_is_told_as_tensorboard_tells_it():
    [ours], [theirs] = summaries.histogram("x", ARRAYS["normal"]).value, histogram_pb("x", ARRAYS["normal"]).value
    assert (ours.tag, ours.metadata, ours.tensor.tensor_shape) == (
        theirs.tag,
        theirs.metadata,
        theirs.tensor.tensor_shape,
    )


def test_what_is_not_finite_is_left_out():
    assert summaries.buckets(np.array([np.nan, 1.0, np.inf, 2.0]))[:, 2].sum() == 2


def test_a_picture_comes_back():
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, [5, 7, 3]).astype(np.uint8))
    [value] = summaries.picture("x", image).value
    width, height, png = tensor_util.make_ndarray(value.tensor)
    assert (width, height) == (b"7", b"5")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), np.asarray(image))


def test_loss_and_accuracy_share_a_row_and_what_is_named_by_its_user_stands_alone():
    assert [summaries.chart(name) for name in ("loss", "accuracy")] == ["curves/loss", "curves/accuracy"]
    assert summaries.chart("other/thing") == "other/thing"
