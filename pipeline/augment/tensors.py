"""The operations on tensors: one affine map, one field and one mask for a whole batch, then the changes of colours.

Every element is computed by additions, multiplications, divisions and table look-ups, which IEEE 754 rounds in one
way. A matmul, or the cosine of a tensor, would not do: vectorized and left-over elements take different paths there,
so that an image's last bit would depend on its place in the batch.
"""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from pipeline.augment import Operation, colours, erasing, randaugment, trivialaugment
from pipeline.augment.draws import ELASTIC_POINTS as _POINTS
from pipeline.augment.draws import draws_of, first_sides
from pipeline.augment.rectangles import side, start, within
from pipeline.augment.warping import Affine, affine, warp

_NUM_ANGLES = 4096
_MOST_ASPECT = 4 / 3  # of what resize_crop takes; the least is its inverse
_NUM_ASPECTS = 256


def window(least_area: float, positions: tf.Tensor, seed: int) -> Callable[..., tf.Tensor]:
    """See `augment.window`."""
    area, aspect, down, across = draws_of(["resize_crop"], positions, seed)["resize_crop"]
    area = least_area + (1 - least_area) * area
    # Evenly spaced in their logarithms, and from a table: see above.
    aspects = tf.constant([_MOST_ASPECT ** (2 * i / (_NUM_ASPECTS - 1) - 1) for i in range(_NUM_ASPECTS)])
    aspect = tf.gather(aspects, tf.cast(aspect * _NUM_ASPECTS, tf.int32))

    def of(i: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        pixels = area[i] * tf.cast(height * width, tf.float32)
        part_height, part_width = side(pixels / aspect[i], height), side(pixels * aspect[i], width)
        return tf.stack(
            [start(down[i], height - part_height), start(across[i], width - part_width), part_height, part_width]
        )

    return of


def apply(
    operations: Sequence[Operation],
    images: tf.Tensor,
    positions: tf.Tensor,
    seed: int,
    examples: tf.Tensor | None,
    epochs: tf.Tensor | None,
) -> tf.Tensor:
    """See `augment.apply`."""
    amounts = {op.name: op.amount for op in operations}
    own = draws_of([name for name in amounts if name != "alternating_flip"], positions, seed)
    if "alternating_flip" in amounts:
        own["alternating_flip"] = [_alternating(examples, epochs, seed)]
    maps = [_AFFINE[op.name](op.amount, own[op.name]) for op in operations if op.name in _AFFINE]
    if "elastic" in amounts:
        field = _field(amounts["elastic"], own["elastic"], *images.shape[1:3])
        images = _read_at(images, *_displaced(maps, field))
    elif len(maps) == 1 and (flip := amounts.keys() & {"flip", "alternating_flip"}):
        images = _mirrored(images, own[flip.pop()])
    elif maps:
        images = warp(images, functools.reduce(Affine.after, maps))
    if "reflect_crop" in amounts:
        images = _reflect_crop(int(amounts["reflect_crop"]), images, own["reflect_crop"])
    for operation in operations:
        if operation.name == "randaugment":
            images = randaugment.apply(images, int(operation.amount), operation.times, own["randaugment"])
    if "trivialaugment" in amounts:
        images = trivialaugment.apply(images, own["trivialaugment"])
    for name, change in colours.JITTER.items():
        if name in amounts:
            images = change(images, amounts[name], own[name][0])
    if "cutout" in amounts:
        images = _cutout(int(amounts["cutout"]), images, own["cutout"])
    if "erasing" in amounts:
        images = erasing.apply(images, amounts["erasing"], own["erasing"])
    return images


def _mirrored(images: tf.Tensor, draws: list[tf.Tensor]) -> tf.Tensor:
    """As `_flip` alone maps them, several times as fast."""
    return tf.where((draws[0] < 0.5)[:, None, None, None], tf.reverse(images, [2]), images)


def _shift(pixels: float, draws: list[tf.Tensor]) -> Affine:
    """By a whole number of pixels in [-pixels, pixels] along both axes, as zero padding and a random crop would do."""
    tx, ty = (tf.floor(draw * (2 * pixels + 1)) - pixels for draw in draws)
    return affine(draws[0], tx=tx, ty=ty)


def _rotate(degrees: float, draws: list[tf.Tensor]) -> Affine:
    """About the centre, by one of _NUM_ANGLES angles evenly spaced over [-degrees, degrees]."""
    cos, sin = (_of_angle(f, degrees, draws[0]) for f in (math.cos, math.sin))
    return affine(draws[0], a=cos, b=-sin, c=sin, d=cos)


def _shear(degrees: float, draws: list[tf.Tensor]) -> Affine:
    """Rows slid along each other, so that upright lines lean by one of _NUM_ANGLES angles, as for _rotate."""
    return affine(draws[0], b=_of_angle(math.tan, degrees, draws[0]))


def _of_angle(function: Callable[[float], float], degrees: float, draw: tf.Tensor) -> tf.Tensor:
    """The function of one of _NUM_ANGLES angles evenly spaced over [-degrees, degrees], from a table: see above."""
    angles = [math.radians(degrees) * (2 * i / (_NUM_ANGLES - 1) - 1) for i in range(_NUM_ANGLES)]
    return tf.gather(tf.constant([function(angle) for angle in angles]), tf.cast(draw * _NUM_ANGLES, tf.int32))


def _scale(fraction: float, draws: list[tf.Tensor]) -> Affine:
    """About the centre, to a size in [1 - fraction, 1 + fraction) of the image's own."""
    inverse = 1 / (1 + fraction * (2 * draws[0] - 1))
    return affine(draws[0], a=inverse, d=inverse)


def _flip(_: float, draws: list[tf.Tensor]) -> Affine:
    """Left to right, for half of the images."""
    return affine(draws[0], a=tf.where(draws[0] < 0.5, -1.0, 1.0))


def _alternating(examples: tf.Tensor | None, epochs: tf.Tensor | None, seed: int) -> tf.Tensor:
    """What stands for a draw of `_flip`, so that each example shows its two sides in turn (Jordan 2024)."""
    assert examples is not None and epochs is not None, "alternating_flip needs to know the examples and their epochs"
    return tf.cast((first_sides(examples, seed) + epochs) % 2, tf.float32)


_AFFINE: dict[str, Callable[[float, list[tf.Tensor]], Affine]] = {
    "shift": _shift,
    "crop": _shift,
    "rotate": _rotate,
    "scale": _scale,
    "shear": _shear,
    "flip": _flip,
    "alternating_flip": _flip,
}


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
    whole = functools.reduce(Affine.after, maps, affine(field[0][:, 0, 0]))
    a, b, tx, c, d, ty = (value[:, None, None] for value in whole)
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


def _reflect_crop(pixels: int, images: tf.Tensor, draws: list[tf.Tensor]) -> tf.Tensor:
    """Moved by a whole number of pixels in [-pixels, pixels] along both axes, and mirrored at the edges."""
    for axis, draw in enumerate(draws, start=1):
        size = images.shape[axis]
        places = tf.range(size) + tf.cast(tf.floor(draw * (2 * pixels + 1)), tf.int32)[:, None] - pixels
        period = max(2 * (size - 1), 1)  # of a picture and its mirror image, which share their edges
        within_period = tf.math.floormod(places, period)
        images = tf.gather(images, tf.minimum(within_period, period - within_period), axis=axis, batch_dims=1)
    return images


def _cutout(side: int, images: tf.Tensor, draws: list[tf.Tensor]) -> tf.Tensor:
    """A square of zeros, its centre on any pixel and so in part outside (DeVries & Taylor 2017, section 3)."""
    rows, columns = (
        within(tf.floor(draw * size) - side // 2, side, size)
        for draw, size in zip(draws, images.shape[1:3], strict=True)
    )
    masked = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(masked, tf.zeros_like(images), images)
