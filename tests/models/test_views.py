"""--tta: the mean of the logits of several views, beside NumPy's; training does not see it."""

import numpy as np
import pytest
import small_run

from pipeline import models
from pipeline.config import Config
from pipeline.engine import forward, state
from pipeline.errors import UsageError
from pipeline.models.variables import statistics_of

SHAPE = (5, 6, 3)
IMAGES = np.random.default_rng(4).integers(0, 256, [7, *SHAPE], np.uint8)


def build(tta, name="models_for_tests:linear", shape=SHAPE):
    return models.build(name, shape, 10, 1, "float32", views=Config(tta=tta).views)


def logits(model, images):
    values = [[v.numpy() for v in group] for group in (model.trainable_variables, statistics_of(model))]
    return forward.evaluate(model, *values, images).numpy()


def moved(images, down, across):
    """The pictures moved by so many pixels, mirrored at their edges."""
    height, width = images.shape[1:3]
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect")
    return padded[:, 2 - down : 2 - down + height, 2 - across : 2 - across + width]


def mirrored(images):
    return images[:, :, ::-1]


MEANS = {
    "": lambda f: f(IMAGES),
    "flip": lambda f: (f(IMAGES) + f(mirrored(IMAGES))) / 2,
    "reflect_crop:1": lambda f: f(IMAGES) / 2 + f(moved(IMAGES, 1, 1)) / 4 + f(moved(IMAGES, -1, -1)) / 4,
    "flip,reflect_crop:2": lambda f: (
        (f(IMAGES) + f(mirrored(IMAGES))) / 4
        + sum(f(moved(IMAGES, by, by)) + f(mirrored(moved(IMAGES, by, by))) for by in (2, -2)) / 8
    ),
}


@pytest.mark.parametrize("tta", MEANS)
@pytest.mark.parametrize("name", ["models_for_tests:linear", "cnn_bn"])
def test_logits_are_the_weighted_mean_of_the_views(tta, name):
    plain = build("", name)
    expected = MEANS[tta](lambda images: logits(plain, images))
    np.testing.assert_allclose(logits(build(tta, name), IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_the_means_above_are_different():
    plain = build("")
    found = [mean(lambda images: logits(plain, images)) for mean in MEANS.values()]
    assert all(np.abs(a - b).max() > 1e-2 for i, a in enumerate(found) for b in found[:i])


def test_training_sees_pictures_alone():
    ended = [small_run.train(0, 2, tta=tta) for tta in ("", "flip,reflect_crop:1")]
    assert len({state.parameters_sha256(values) for values in ended}) == 1


def test_pictures_smaller_than_the_shift_are_refused():
    message = "tta=reflect_crop:5 moves by more pixels than images of 5 x 6 have; use 4 or fewer"
    with pytest.raises(UsageError, match=message):
        build("reflect_crop:5")
    build("reflect_crop:4")
