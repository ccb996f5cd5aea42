"""How numbers are written."""

import pytest

from pipeline.text import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (0.0001, "0.0001"), (0.00001234, "1.23e-05"), (0.06281, "0.06281"), (1.5, "1.5"), (999.5, "999.5")),
        *((1234.5, "1,234"), (62949.6, "62,950"), (123456, "123.5k"), (2.5e6, "2.5M"), (1.19e29, "1.19e+29")),
        *((-0.5, "-0.5"), (-12345, "-12,345")),
    ],
)
def test_numbers(value, text):
    assert numbers.number(value) == text


def test_shares():
    assert [numbers.percent(value) for value in (1, 0.98, 0.9812, 0.99995)] == ["100%", "98%", "98.12%", "100%"]
    assert [numbers.accuracy(value) for value in (1, 0.98, 0.98125)] == ["100.00%", "98.00%", "98.12%"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (3 * 86400 + 7300, "3 d 2 h")],
)
def test_durations(seconds, text):
    assert numbers.duration(seconds) == text
