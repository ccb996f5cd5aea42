"""Axes: ticks are round and lie inside, coordinates are linear or logarithmic, spikes are never thinned away."""

import math

import pytest

from pipeline.reporting import scales
from pipeline.reporting.scales import MOST_TICKS, Scale


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 7, [0, 2, 4, 6]),
        (0.981, 0.993, [0.985, 0.99]),
        (-3, 3, [-2, 0, 2]),
        (1e-5, 3e-5, [1e-5, 1.5e-5, 2e-5, 2.5e-5, 3e-5]),
    ],
)
def test_linear_ticks_are_round(low, high, ticks):
    assert Scale(low, high, 0, 1).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.03, 2.3, [0.05, 0.1, 0.2, 0.5, 1, 2]),
        (0.001, 5, [0.001, 0.01, 0.1, 1]),
        (1e-12, 1, [1e-12, 1e-9, 1e-6, 1e-3, 1]),
    ],
)
def test_logarithmic_ticks_are_round(low, high, ticks):
    assert scales.logarithmic_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("exponent", range(-12, 13))
@pytest.mark.parametrize("factor", [1.01, 1.7, 3, 9.9, 1e6])
def test_ticks_are_few_and_inside(exponent, factor):
    low = 3 * 10.0**exponent
    for ticks in (scales.linear_ticks(low, low * factor), scales.logarithmic_ticks(low, low * factor)):
        assert len(ticks) <= MOST_TICKS
        assert all(low * (1 - 1e-6) <= tick <= low * factor * (1 + 1e-6) for tick in ticks)
    assert len(scales.linear_ticks(low, low * factor)) >= 2


def test_coordinates():
    assert [Scale(0, 10, 100, 200).at(value) for value in (0, 5, 10, 11)] == [100, 150, 200, 200]
    assert [Scale(1, 100, 50, 0, logarithmic=True).at(value) for value in (1, 10, 100)] == pytest.approx([50, 25, 0])


def test_a_scale_has_room_for_equal_values_and_is_logarithmic_only_where_it_can_be():
    assert scales.fitted([3, 3], 0, 1).at(3) == 0.5 and scales.fitted([0], 0, 1).at(0) == 0.5
    assert scales.fitted([0.01, 1], 0, 1, may_be_logarithmic=True).logarithmic
    for values in ([0, 1], [0.5, 1], [-1, 100]):
        assert not scales.fitted(values, 0, 1, may_be_logarithmic=True).logarithmic
    assert not scales.fitted([0.01, 1], 0, 1).logarithmic


def test_thinning_keeps_the_spikes_and_the_order():
    points = [(step, math.sin(step / 50)) for step in range(10_000)]
    points[777], points[5001] = (777, 9.0), (5001, -9.0)
    kept = scales.thinned(points, 500)
    assert 450 <= len(kept) <= 500
    assert (777, 9.0) in kept and (5001, -9.0) in kept
    assert kept == sorted(kept) and set(kept) <= set(points)
    assert scales.thinned(points[:500], 500) == points[:500]
