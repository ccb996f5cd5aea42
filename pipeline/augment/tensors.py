"""The operations on tensors: one affine map, one field and one mask for a whole batch.

Every element is computed by additions, multiplications, divisions and table look-ups, which IEEE 754 rounds in one
way. A matmul, or the cosine of a tensor, would not do: vectorized and left-over elements take different paths there,
so that an image's last bit would depend on its place in the batch.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.augment import Operation
from pipeline.random.keys import Purpose, uniform

_POINTS = 5  # along each axis, of elastic's field

# The columns of an image's draws that belong to each operation: never move or reuse one.
# fmt: off
_COLUMNS = {
    "shift": (0, 1), "rotate": (2,), "scale": (3,), "flip": (4,), "crop": (5, 6), "cutout": (7, 8),
    "resize_crop": (9, 10, 11, 12), "elastic": tuple(range(13, 13 + 2 * _POINTS**2)), "shear": (63,)}
# fmt: on
_NUM_ANGLES = 4096
_MOST_ASPECT = 4 / 3  # of what resize_crop takes; the least is its inverse
_NUM_ASPECTS = 256


class Affine(NamedTuple):
    """Where each output pixel (x, y), from the image's centre, is read: (a x + b y + tx, c x + d y + ty). Each [n]."""

    a: tf.Tensor
    b: tf.Tensor
    tx: tf.Tensor
    c: tf.Tensor
    d: tf.Tensor
    ty: tf.Tensor

    def after(self, other: "Affine") -> "Affine":
        """The map that takes `other` first."""
        return Affine(
            self.a * other.a + self.b * other.c,
            self.a * other.b + self.b * other.d,
            self.a * other.tx + self.b * other.ty + self.tx,
            self.c * other.a + self.d * other.c,
            self.c * other.b + self.d * other.d,
            self.c * other.tx + self.d * other.ty + self.ty,
        )


def window(least_area: float, positions: tf.Tensor, seed: int) -> Callable[..., tf.Tensor]:
    """See `augment.window`."""
    area, aspect, down, across = _draws(["resize_crop"], positions, seed)["resize_crop"]
    area = least_area + (1 - least_area) * area
    # Evenly spaced in their logarithms, and from a table: see above.
    aspects = tf.constant([_MOST_ASPECT ** (2 * i / (_NUM_ASPECTS - 1) - 1) for i in range(_NUM_ASPECTS)])
    aspect = tf.gather(aspects, tf.cast(aspect * _NUM_ASPECTS, tf.int32))

    def of(i: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        pixels = area[i] * tf.cast(height * width, tf.float32)
        part_height, part_width = _side(pixels / aspect[i], height), _side(pixels * aspect[i], width)
        return tf.stack(
            [_start(down[i], height - part_height), _start(across[i], width - part_width), part_height, part_width]
        )

    return of


def _side(square: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
    """The root in whole pixels, at least 1 and at most `most`."""
    return tf.clip_by_value(tf.cast(tf.round(tf.sqrt(square)), tf.int32), 1, most)


def _start(draw: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    """A whole number in [0, room]."""
    return tf.minimum(tf.cast(draw * tf.cast(room + 1, tf.float32), tf.int32), room)


def apply(operations: Sequence[Operation], images: tf.Tensor, positions: tf.Tensor, seed: int) -> tf.Tensor:
    """See `augment.apply`."""
    own = _draws([op.name for op in operations], positions, seed)
    maps = [_AFFINE[op.name](op.amount, own[op.name]) for op in operations if op.name in _AFFINE]
    amounts = {op.name: op.amount for op in operations}
    if "elastic" in amounts:
        field = _field(amounts["elastic"], own["elastic"], *images.shape[1:3])
        images = _read_at(images, *_displaced(maps, field))
    elif maps:
        images = _warp(images, functools.reduce(Affine.after, maps))
    if "cutout" in amounts:
        images = _cutout(int(amounts["cutout"]), images, own["cutout"])
    return images


def _draws(names: Sequence[str], positions: tf.Tensor, seed: int) -> dict[str, list[tf.Tensor]]:
    """Each operation's own numbers in [0, 1), [n] each."""
    count = 1 + max((max(_COLUMNS[name]) for name in names), default=-1)
    draws = uniform(seed, Purpose.AUGMENTATION, positions, count)
    return {name: [draws[:, column] for column in _COLUMNS[name]] for name in names}


def _affine(
    like: tf.Tensor, a: Any = 1.0, b: Any = 0.0, tx: Any = 0.0, c: Any = 0.0, d: Any = 1.0, ty: Any = 0.0
) -> Affine:
    """The map of these numbers or tensors, each of the shape of `like`; without any, nothing is moved."""
    return Affine(*(value + tf.zeros_like(like) for value in (a, b, tx, c, d, ty)))


def _shift(pixels: float, draws: list[tf.Tensor]) -> Affine:
    """By a whole number of pixels in [-pixels, pixels] along both axes, as zero padding and a random crop would do."""
    tx, ty = (tf.floor(draw * (2 * pixels + 1)) - pixels for draw in draws)
    return _affine(draws[0], tx=tx, ty=ty)


def _rotate(degrees: float, draws: list[tf.Tensor]) -> Affine:
    """About the centre, by one of _NUM_ANGLES angles evenly spaced over [-degrees, degrees]."""
    cos, sin = (_of_angle(f, degrees, draws[0]) for f in (math.cos, math.sin))
    return _affine(draws[0], a=cos, b=-sin, c=sin, d=cos)


def _shear(degrees: float, draws: list[tf.Tensor]) -> Affine:
    """Rows slid along each other, so that upright lines lean by one of _NUM_ANGLES angles, as for _rotate."""
    return _affine(draws[0], b=_of_angle(math.tan, degrees, draws[0]))


def _of_angle(function: Callable[[float], float], degrees: float, draw: tf.Tensor) -> tf.Tensor:
    """The function of one of _NUM_ANGLES angles evenly spaced over [-degrees, degrees], from a table: see above."""
    angles = [math.radians(degrees) * (2 * i / (_NUM_ANGLES - 1) - 1) for i in range(_NUM_ANGLES)]
    return tf.gather(tf.constant([function(angle) for angle in angles]), tf.cast(draw * _NUM_ANGLES, tf.int32))


def _scale(fraction: float, draws: list[tf.Tensor]) -> Affine:
    """About the centre, to a size in [1 - fraction, 1 + fraction) of the image's own."""
    inverse = 1 / (1 + fraction * (2 * draws[0] - 1))
    return _affine(draws[0], a=inverse, d=inverse)


def _flip(_: float, draws: list[tf.Tensor]) -> Affine:
    """Left to right, for half of the images."""
    return _affine(draws[0], a=tf.where(draws[0] < 0.5, -1.0, 1.0))


_AFFINE: dict[str, Callable[[float, list[tf.Tensor]], Affine]] = {
    "shift": _shift,
    "crop": _shift,
    "rotate": _rotate,
    "scale": _scale,
    "shear": _shear,
    "flip": _flip,
}


def _warp(images: tf.Tensor, affine: Affine) -> tf.Tensor:
    """Images read through the map, between pixels bilinearly, rounded to the nearest level."""
    height, width = images.shape[1:3]
    x, y = (width - 1) / 2, (height - 1) / 2  # the centre
    a, b, tx, c, d, ty = affine
    zero = tf.zeros_like(a)
    rows = [a, b, tx + x - (a * x + b * y), c, d, ty + y - (c * x + d * y), zero, zero]
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack(rows, axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.cast(tf.round(warped), images.dtype)


def _field(pixels: float, draws: list[tf.Tensor], height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """By how much each pixel of an image is read from elsewhere, across and down: [n, height, width] each.

    Random in [-pixels, pixels] at _POINTS x _POINTS points, the outer ones on the edges, and bilinear between them.
    (Simard et al. 2003, section 2, draw a number for every pixel and smooth the field by a Gaussian.)
    """
    grid = tf.reshape(tf.stack(draws, axis=1), [-1, 2, _POINTS, _POINTS]) * (2 * pixels) - pixels
    for axis, size in ((2, height), (3, width)):
        places = np.linspace(0, _POINTS - 1, size, dtype=np.float32)
        before = np.minimum(places.astype(np.int32), _POINTS - 2)
        share = (places - before).reshape([-1, 1] if axis == 2 else [-1])
        grid = tf.gather(grid, before, axis=axis) * (1 - share) + tf.gather(grid, before + 1, axis=axis) * share
    return grid[:, 0], grid[:, 1]


def _displaced(maps: Sequence[Affine], field: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each pixel of an image is read that the maps made and the field then bent: columns and rows."""
    height, width = field[0].shape[1:]
    from_centre = (tf.range(width, dtype=tf.float32) - (width - 1) / 2)[None, None, :] + field[0]
    below_centre = (tf.range(height, dtype=tf.float32) - (height - 1) / 2)[None, :, None] + field[1]
    affine = functools.reduce(Affine.after, maps, _affine(field[0][:, 0, 0]))
    a, b, tx, c, d, ty = (value[:, None, None] for value in affine)
    across = a * from_centre + b * below_centre + tx
    down = c * from_centre + d * below_centre + ty
    return across + (width - 1) / 2, down + (height - 1) / 2


def _read_at(images: tf.Tensor, columns: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Images at these places, [n, height, width] each, between pixels bilinearly, rounded to the nearest level."""
    height, width, channels = images.shape[1:]
    columns, rows = tf.clip_by_value(columns, -1, width), tf.clip_by_value(rows, -1, height)
    left, top = tf.floor(columns), tf.floor(rows)
    right_share, lower_share = (columns - left)[..., None], (rows - top)[..., None]
    # A frame of zeros, in which whatever lies outside is read.
    padded = tf.pad(tf.cast(images, tf.float32), [[0, 0], [1, 2], [1, 2], [0, 0]])
    pixels = tf.reshape(padded, [-1, (height + 3) * (width + 3), channels])
    first = (tf.cast(top, tf.int32) + 1) * (width + 3) + tf.cast(left, tf.int32) + 1

    def beside(down: int, right: int) -> tf.Tensor:
        return tf.gather(pixels, first + down * (width + 3) + right, batch_dims=1)

    upper, lower = (beside(row, 0) * (1 - right_share) + beside(row, 1) * right_share for row in (0, 1))
    return tf.cast(tf.round(upper * (1 - lower_share) + lower * lower_share), images.dtype)


def _cutout(side: int, images: tf.Tensor, draws: list[tf.Tensor]) -> tf.Tensor:
    """A square of zeros, its centre on any pixel and so in part outside (DeVries & Taylor 2017, section 3)."""
    rows, columns = (
        _within(tf.floor(draw * size) - side // 2, side, size)
        for draw, size in zip(draws, images.shape[1:3], strict=True)
    )
    masked = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(masked, tf.zeros_like(images), images)


def _within(first: tf.Tensor, length: int, size: int) -> tf.Tensor:
    """Whether each of `size` places lies in [first, first + length): [n] -> [n, size] bool."""
    places = tf.range(size, dtype=tf.float32)
    return (places >= first[:, None]) & (places < first[:, None] + length)
