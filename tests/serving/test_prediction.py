import functools

import numpy as np
import pytest
import tensorflow as tf
from small_run import assembly

from pipeline.engine import evaluation
from pipeline.errors import BadDataError
from pipeline.serving.images import Images
from pipeline.serving.prediction import Predictor

SHAPE = (28, 28, 1)
NUM_IMAGES = 23  # a prime number, so that no batch and no number of towers divides it
BATCH = 4


@pytest.fixture(scope="module")
def parts():
    return assembly(8, model="models_for_tests:batch_norm")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rows = np.arange(NUM_IMAGES * 28 * 28, dtype=np.int64) * 2654435761 // 1000 % 256
    return rows.astype(np.uint8).reshape(NUM_IMAGES, *SHAPE)


@pytest.fixture
def paths(tmp_path, pixels):
    """Some images as files, some in a batch between them, and the rest as files."""
    found = [str(tmp_path / f"{i}.png") for i in range(NUM_IMAGES)]
    for path, image in zip(found, pixels, strict=True):
        tf.io.write_file(path, tf.io.encode_png(image))
    np.save(tmp_path / "batch.npy", pixels[5:15])
    return [*found[:5], str(tmp_path / "batch.npy"), *found[15:]]


@pytest.fixture(scope="module")
def predictor(parts):
    """Makes one of so many towers, once."""

    def make(towers: int) -> Predictor:
        there = assembly(towers, model="models_for_tests:batch_norm").towers(parts.initial())
        return Predictor(parts.model, there, BATCH)

    return functools.cache(make)


@pytest.fixture(scope="module")
def one_by_one(parts, pixels) -> np.ndarray:
    """The probabilities of all images."""
    return evaluation.probabilities(parts.model, parts.towers(parts.initial()), pixels, BATCH)


@pytest.mark.parametrize("towers", [1, 3, 8])
def test_every_image_once_and_in_order_on_any_number_of_towers(towers, predictor, one_by_one, paths):
    found = predictor(towers)(Images(paths, SHAPE), skip_unreadable=False)
    assert (found.indices, found.refused) == (list(range(NUM_IMAGES)), [])
    np.testing.assert_array_equal(found.probabilities, one_by_one)
    assert len(np.unique(found.probabilities[:, 0])) == NUM_IMAGES


@pytest.mark.parametrize("towers", [1, 3])
@pytest.mark.parametrize("broken", [[0], [3, 4, 16], [22], list(range(23))])
def test_what_cannot_be_read_is_skipped_only_on_request(towers, broken, predictor, one_by_one, paths, tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(NUM_IMAGES)]
    for i in broken:
        (tmp_path / f"{i}.png").write_bytes(b"no image")
    predict, images = predictor(towers), Images(paths, SHAPE)
    with pytest.raises(BadDataError) as told:
        predict(images, skip_unreadable=False)
    line = f"{paths[broken[0]]} is not an image that can be decoded; give a PNG, JPEG or .npy file"
    assert str(told.value) == f"{line}, or leave such files out by --skip_unreadable"
    found = predict(images, skip_unreadable=True)
    assert [str(refusal).split()[0] for refusal in found.refused] == [paths[i] for i in broken]
    assert found.indices == [i for i in range(NUM_IMAGES) if i not in broken]
    if found.indices:
        np.testing.assert_array_equal(found.probabilities, one_by_one[found.indices])
