"""mixup and cutmix against NumPy, and the rule of partners."""

import math

import numpy as np
import pytest
import tensorflow as tf
from test_augment import images_of

from pipeline import augment
from pipeline.augment import mixing
from pipeline.augment.draws import draws_of

N, CLASSES = 60, 7
LABELS = np.arange(N) * 5 % CLASSES
POSITIONS = np.arange(N) + 10**6


def mixed(text, images, which=slice(None), seed=1):
    parts = (tf.constant(part[which]) for part in (images, LABELS, POSITIONS))
    return [part.numpy() for part in augment.mixed(augment.parse(text), *parts, seed, CLASSES)]


def partners(values):
    return values.reshape(-1, 2, *values.shape[1:])[:, ::-1].reshape(values.shape)


def drawn(name, seed=1):
    return [d.numpy() for d in draws_of([name], tf.constant(POSITIONS), seed)[name]]


def share(alpha, draw):
    return mixing.quantiles(alpha)[(draw * 4096).astype(int)]


def expected(images, kept):
    """Images and labels by hand. kept: [n, height, width], each pixel's share that stays."""
    one_hot, own = np.eye(CLASSES)[LABELS], kept.mean(axis=(1, 2))[:, None]
    weights = kept[..., None]
    return np.round(images * weights + partners(images) * (1 - weights)), one_hot * own + partners(one_hot) * (1 - own)


def boxes(alpha, height, width):
    draw, down, across = drawn("cutmix")
    kept, part = np.ones([N, height, width]), np.sqrt(1 - share(alpha, draw))
    for i in range(N):
        (top, bottom), (left, right) = (
            (int(centre[i] * size) - int(part[i] * size) // 2, int(part[i] * size))
            for centre, size in ((down, height), (across, width))
        )
        kept[i, max(top, 0) : max(top + bottom, 0), max(left, 0) : max(left + right, 0)] = 0
    return kept


def assert_mixed(found, images, kept):
    expected_images, expected_labels = expected(images, kept)
    np.testing.assert_array_equal(found[0], expected_images)
    np.testing.assert_allclose(found[1], expected_labels, atol=1e-6)
    np.testing.assert_allclose(found[1].sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_adds_shares_of_two_neighbours(alpha):
    images = images_of(N, 6, 5, 3)
    kept = np.broadcast_to(share(alpha, drawn("mixup")[0])[:, None, None], [N, 6, 5])
    assert_mixed(mixed(f"mixup:{alpha}", images), images, kept)


def test_cutmix_puts_a_box_of_the_neighbour_into_an_image():
    images = images_of(N, 11, 14, 3)
    assert_mixed(mixed("cutmix:1", images), images, boxes(1, 11, 14))


def test_of_both_each_is_done_to_half_of_the_images():
    images = images_of(N, 11, 14, 3)
    draw, coin = drawn("mixup")
    assert 15 <= (coin < 0.5).sum() <= 45
    by_mixup = np.broadcast_to(share(0.2, draw)[:, None, None], [N, 11, 14])
    kept = np.where((coin < 0.5)[:, None, None], by_mixup, boxes(1, 11, 14))
    assert_mixed(mixed("mixup:0.2,cutmix:1", images), images, kept)


@pytest.mark.parametrize("text", ["mixup:0.2", "cutmix:1", "mixup:1,cutmix:0.5"])
def test_a_pair_is_mixed_alike_in_whatever_chunk(text):
    images = images_of(N, 6, 5, 3)
    whole = mixed(text, images)
    for size in (2, 6, 20):
        parts = [mixed(text, images, slice(i, i + size)) for i in range(0, N, size)]
        for part, all_of_it in zip(zip(*parts, strict=True), whole, strict=True):
            np.testing.assert_array_equal(np.concatenate(part), all_of_it)
    assert (mixed(text, images, seed=2)[0] != whole[0]).any()


def test_without_them_labels_are_certain():
    images = images_of(N, 6, 5, 3)
    same, labels = mixed("flip", images)
    np.testing.assert_array_equal(same, images)
    np.testing.assert_array_equal(labels, np.eye(CLASSES)[LABELS])


@pytest.mark.parametrize(
    ("alpha", "cumulative"),
    [
        (0.5, lambda x: 2 / math.pi * math.asin(math.sqrt(x))),
        (1.0, lambda x: x),
        (2.0, lambda x: 3 * x**2 - 2 * x**3),
        (3.0, lambda x: 10 * x**3 - 15 * x**4 + 6 * x**5),
    ],
)
def test_shares_follow_the_beta_distribution(alpha, cumulative):
    """Where the distribution function has a closed form, quantiles undo it within their rounding."""
    quantiles = mixing.quantiles(alpha)
    levels = (np.arange(4096) + 0.5) / 4096
    for k in range(4096):
        low, high = (cumulative(min(max(quantiles[k] + by, 0), 1)) for by in (-0.6 / 4096, 0.6 / 4096))
        assert low - 1e-6 <= levels[k] <= high + 1e-6
    np.testing.assert_array_equal(quantiles, 1 - quantiles[::-1])


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4, 8.0])
def test_shares_have_the_variance_of_the_beta_distribution(alpha):
    assert mixing.quantiles(alpha).var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=2e-3)
