"""Draws the shapes, and writes them as files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.random.keys import Purpose, uniform

FORMS = ("disc", "square", "triangle", "ring", "cross")
CLASS_NAMES = tuple(f"{family}_{form}" for family in ("cold", "warm") for form in FORMS)
TEST_START = 10**9  # the test examples' first number: the same ones for every number of training examples
QUALITY = 90  # of the JPEG files

_SEED = 20160627
_NUM_DRAWS = 17  # that give an example its form and colours; its pixels' grain follows
_HUES = np.array([[0.45, 0.70], [-0.08, 0.14]])  # of the cold and the warm colours, in turns of the colour circle
_CHUNK = 50  # examples drawn at once


def labels(numbers: np.ndarray) -> np.ndarray:
    """The class of each example, its number modulo 10."""
    return numbers % len(CLASS_NAMES)


def draw(numbers: np.ndarray, side: int) -> np.ndarray:
    """The picture of each example: [n] int64 -> [n, side, side, 3] uint8."""
    random = uniform(_SEED, Purpose.EXAMPLE, tf.constant(numbers), _NUM_DRAWS + side * side).numpy()
    draws = iter(random[:, :_NUM_DRAWS].T[:, :, None, None])  # each [n, 1, 1]
    family = labels(numbers) // len(FORMS)
    x, y = np.meshgrid(*[(np.arange(side) + 0.5) / side - 0.5] * 2)
    picture = _colour(next(draws), next(draws) * 0.4, 0.2 + 0.5 * next(draws))
    stripe = np.abs(_turned(x, y, next(draws))[0] + 0.5 * next(draws) - 0.25) - 0.05 - 0.1 * next(draws)
    picture = _over(picture, _ink(stripe, side), _of_family(1 - family, draws))
    ink = _ink(_form(labels(numbers) % len(FORMS), x, y, draws), side)
    picture = _over(picture, ink, _of_family(family, draws))
    grain = 0.25 * next(draws) * (random[:, _NUM_DRAWS:].reshape(-1, side, side) - 0.5)
    return np.rint(255 * np.clip(picture + grain[..., None], 0, 1)).astype(np.uint8)


def _form(forms: np.ndarray, x: np.ndarray, y: np.ndarray, draws: Iterator[np.ndarray]) -> np.ndarray:
    """[n, side, side]: how far each pixel lies outside the form, in sides of the picture."""
    radius = 0.18 + 0.17 * next(draws)
    x, y = x + 0.25 * (next(draws) - 0.5), y + 0.25 * (next(draws) - 0.5)
    u, v = (axis / radius for axis in _turned(x, y, next(draws)))
    distance, across, down = np.hypot(u, v), np.abs(u), np.abs(v)
    outside = {
        "disc": distance - 1,
        "square": np.maximum(across, down) - 0.85,
        "triangle": np.maximum(np.maximum(-v, (v + np.sqrt(3) * u) / 2), (v - np.sqrt(3) * u) / 2) - 0.55,
        "ring": np.abs(distance - 0.75) - 0.25,
        "cross": np.minimum(np.maximum(across - 1, down - 0.3), np.maximum(across - 0.3, down - 1)),
    }
    return radius * np.select([(forms == FORMS.index(name))[:, None, None] for name in FORMS], list(outside.values()))


def _turned(x: np.ndarray, y: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    return x * cos - y * sin, x * sin + y * cos


def _ink(outside: np.ndarray, side: int) -> np.ndarray:
    """1 inside, 0 outside, and a slope one pixel wide between."""
    return np.clip(0.5 - outside * side, 0, 1)


def _of_family(families: np.ndarray, draws: Iterator[np.ndarray]) -> np.ndarray:
    """A colour [n, 1, 1, 3] for each example, cold for family 0 and warm for 1."""
    least, most = _HUES[families].T[:, :, None, None]
    return _colour(least + (most - least) * next(draws), 0.6 + 0.4 * next(draws), 0.6 + 0.4 * next(draws))


def _colour(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """[n, 1, 1] each, hue in turns -> red, green, blue [n, 1, 1, 3] in [0, 1]."""
    distances = [(np.array(start) + 6 * hue) % 6 for start in (5, 3, 1)]
    return np.stack([value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1)) for k in distances], axis=-1)


def _over(picture: np.ndarray, ink: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return picture + ink[..., None] * (colour - picture)


def write(directory: Path, splits: dict[str, np.ndarray], side: int) -> None:
    """Writes each split's examples, given by number, as SPLIT/CLASS/NUMBER.jpg. Existing files are replaced."""
    for split, numbers in splits.items():
        for name in CLASS_NAMES:
            (directory / split / name).mkdir(parents=True, exist_ok=True)
        for chunk in np.array_split(numbers, -(-len(numbers) // _CHUNK)):
            for number, picture in zip(chunk, draw(chunk, side), strict=True):
                encoded = tf.io.encode_jpeg(picture, quality=QUALITY).numpy()
                (directory / split / CLASS_NAMES[labels(number)] / f"{number}.jpg").write_bytes(encoded)
