"""The random numbers of each operation: columns of one table, keyed to the position."""

from collections.abc import Sequence

import tensorflow as tf

from pipeline.random.keys import Purpose, fold_in, uniform

ELASTIC_POINTS = 5  # along each axis, of elastic's field
MOST_TIMES = 8  # operations of randaugment on one image

# The columns of an image's draws that belong to each operation: never move or reuse one.
# fmt: off
_COLUMNS = {
    "shift": (0, 1), "rotate": (2,), "scale": (3,), "flip": (4,), "crop": (5, 6), "cutout": (7, 8),
    "resize_crop": (9, 10, 11, 12), "elastic": tuple(range(13, 13 + 2 * ELASTIC_POINTS**2)), "shear": (63,),
    "randaugment": tuple(range(64, 64 + 2 * MOST_TIMES)), "brightness": (80,), "contrast": (81,), "saturation": (82,),
    "hue": (83,), "erasing": (84, 85, 86, 87, 88), "mixup": (89, 90), "cutmix": (91, 92, 93),
    "reflect_crop": (94, 95), "trivialaugment": (96, 97, 98)}
# fmt: on


def draws_of(names: Sequence[str], positions: tf.Tensor, seed: int) -> dict[str, list[tf.Tensor]]:
    """Each operation's own numbers in [0, 1), [n] each. positions: [n] int64."""
    count = 1 + max((max(_COLUMNS[name]) for name in names), default=-1)
    draws = uniform(seed, Purpose.AUGMENTATION, positions, count)
    return {name: [draws[:, column] for column in _COLUMNS[name]] for name in names}


def first_sides(examples: tf.Tensor, seed: int) -> tf.Tensor:
    """The side, 0 or 1, that each example shows in epochs of even numbers: [n] int64 -> [n] int64."""
    return tf.cast(fold_in(seed, Purpose.FIRST_SIDE, examples) % 2, tf.int64)
