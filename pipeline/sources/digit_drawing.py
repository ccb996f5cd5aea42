"""PURE: draws the embedded digits. The same bits on every machine, from the number of the example alone.

Every operation is one that IEEE 754 rounds exactly (+ - * / and the square root, element by element), and the one
matrix product multiplies and adds integers small enough that float32 holds each sum exactly, in whichever order.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pipeline.random.keys import Purpose, uniform
from pipeline.sources import digit_strokes

SIDE = 28  # pixels, height and width
DRAWING_SEED = 282810  # not the run's: every run trains on the same digits

_KNOTS = 6  # places along a glyph's strokes at which the hand trembles
_FORM = 12 + 2 * _KNOTS  # random numbers that give an example its form; its pixels' noise follows
_LEVELS = 127  # a pen's profile is rounded to integers up to this one: 127 * 127 * glyphs.POINTS < 2 ** 24

_GLYPHS = np.stack(
    [digit_strokes.points(path) for paths in digit_strokes.PATHS for path in paths]
)  # [glyphs, POINTS, 2]
_SPACING = np.array([digit_strokes.spacing(points) for points in _GLYPHS])  # [glyphs] float32
_COUNTS = np.array([len(paths) for paths in digit_strokes.PATHS])  # glyphs of each digit
_FIRST = np.cumsum(_COUNTS) - _COUNTS


def labels(indices: np.ndarray) -> np.ndarray:
    """The digit of each example, its index modulo 10: [n] int64 -> [n] int32."""
    return (indices % 10).astype(np.int32)


def draw(indices: np.ndarray) -> np.ndarray:
    """The picture of each example: [n] int64 -> [n, 28, 28, 1] uint8, ink 255 on a ground of 0."""
    random = uniform(DRAWING_SEED, Purpose.EXAMPLE, tf.constant(indices), _FORM + SIDE * SIDE).numpy()
    form = iter(random[:, :_FORM].T[:, :, None])  # each [n, 1]
    noise = random[:, _FORM:].reshape(-1, SIDE, SIDE)
    size = _between(next(form), 7.5, 10.0)  # pixels from the middle of a digit to its edge
    x, y, spacing = _write(labels(indices), size, form)
    radius = size * _between(next(form), 0.17, 0.27)
    ink = _ink(x, y, radius) * (spacing / radius * _between(next(form), 1.0, 1.7))[:, :, None]
    grain = _between(next(form), 0.0, 0.3)[:, :, None] * (noise - 0.5)
    grey = np.clip(np.minimum(1, ink) + grain, 0, 1)
    return np.rint(255 * grey).astype(np.uint8)[:, :, :, None]


def _between(random: np.ndarray, least: float, most: float) -> np.ndarray:
    return least + (most - least) * random


def _write(digits: np.ndarray, size: np.ndarray, form: Iterator[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Where the pen goes: x and y [n, POINTS], and the distance from point to point [n, 1], all in pixels."""
    chosen = _FIRST[digits] + (next(form)[:, 0] * _COUNTS[digits]).astype(np.int64)
    spacing = _SPACING[chosen, None]
    x = _GLYPHS[chosen, :, 0] + 2.5 * spacing * _tremble(form)
    y = _GLYPHS[chosen, :, 1] + 2.5 * spacing * _tremble(form)
    # Bent, then narrowed and slanted, then turned by the angle whose half has the tangent t, then sized and moved.
    x, y = x + _between(next(form), -0.25, 0.25) * y * y, y + _between(next(form), -0.25, 0.25) * x * x
    x = x * _between(next(form), 0.7, 1.3) + y * _between(next(form), -0.4, 0.2)
    t = _between(next(form), -0.15, 0.15)
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    x, y = x * cosine - y * sine, x * sine + y * cosine
    middle = (SIDE - 1) / 2
    x = x * size + (middle + _between(next(form), -1.5, 1.5))
    y = y * size + (middle + _between(next(form), -1.5, 1.5))
    return x, y, spacing * size


def _tremble(form: Iterator[np.ndarray]) -> np.ndarray:
    """[n, POINTS] offsets within -1 and 1, in straight lines from one knot's random offset to the next's."""
    place = np.linspace(0, _KNOTS - 1, digit_strokes.POINTS, dtype=np.float32)
    return sum(_between(next(form), -1, 1) * np.maximum(0, 1 - np.abs(place - knot)) for knot in range(_KNOTS))


def _ink(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """[n, 28, 28] float32: the pen's profile summed over its points, 1 being the middle of a single point."""
    across, down = _profile(x, radius), _profile(y, radius)
    return np.matmul(down.transpose(0, 2, 1), across) / _LEVELS**2


def _profile(places: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """[n, POINTS, 28] float32 integers: (1 - (distance / radius) ** 2) ** 2 within the radius, 0 beyond."""
    distance = (np.arange(SIDE, dtype=np.float32) - places[:, :, None]) / radius[:, :, None]
    inside = np.maximum(0, 1 - distance * distance)
    return np.rint(_LEVELS * inside * inside)
