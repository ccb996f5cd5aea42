"""Augmentation as --augment says it: a comma list of operations.

resize_crop comes first, whatever their order, then shift, rotate, scale, shear, flip and crop in theirs, then elastic,
cutout.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.text.spelling import nearest

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Amount:
    """The number that follows an operation's colon: above 0 and at most `most`."""

    unit: str
    most: float
    example: str
    whole: bool = False


# Every operation, and the amount that it takes.
OPERATIONS = {
    "resize_crop": Amount("a share of the area", 1, "0.25"),
    "shift": Amount("a whole number of pixels", 9999, "2", whole=True),
    "rotate": Amount("degrees", 180, "15"),
    "scale": Amount("a fraction", 0.99, "0.1"),
    "shear": Amount("degrees", 80, "10"),
    "flip": None,
    "crop": Amount("a whole number of pixels", 9999, "4", whole=True),
    "elastic": Amount("pixels", 9999, "1.5"),
    "cutout": Amount("a whole number of pixels", 9999, "8", whole=True),
}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One random change of an image, at most `amount` strong (in the operation's unit; 0 for flip)."""

    name: str
    amount: float


def parse(text: str) -> tuple[Operation, ...]:
    """'shift:2,flip' -> (Operation('shift', 2), Operation('flip', 0)); '' -> ().

    Raises UsageError for an operation that is unknown, malformed or given twice. Imports no TensorFlow.
    """
    operations = tuple(_parse_one(part.strip()) for part in text.split(",")) if text.strip() else ()
    names = [operation.name for operation in operations]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"augment={text} names {name} twice; give each operation once")
    return operations


def _parse_one(part: str) -> Operation:
    name, colon, text = part.partition(":")
    if name not in OPERATIONS:
        raise UsageError(f"augment: '{name}' is unknown{nearest(name, OPERATIONS)}")
    amount = OPERATIONS[name]
    if amount is None:
        if colon:
            raise UsageError(f"augment: '{part}' has an amount, which {name} does not take; write {name}")
        return Operation(name, 0)
    try:
        value: float = int(text) if amount.whole else float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= amount.most:
        raise UsageError(
            f"augment: '{part}' needs {amount.unit}, above 0 and at most {amount.most}; "
            f"write it as {name}:{amount.example}"
        )
    return Operation(name, value)


def window(operations: Sequence[Operation], positions: "tf.Tensor", seed: int) -> "Callable[..., tf.Tensor] | None":
    """The part of each picture that resize_crop takes, a function of (seed, its position); None without resize_crop.

    positions: [n] int64. Returns a function of (number in [0, n), height, width) that gives top, left, height and
    width, [4] int32: a part of at least `amount` of the area, and of an aspect from 3 / 4 to 4 / 3, cut to what the
    picture has (Szegedy et al. 2015, section 6).
    """
    least = [operation.amount for operation in operations if operation.name == "resize_crop"]
    if not least:
        return None
    from pipeline.augment import tensors

    return tensors.window(least[0], positions, seed)


def apply(operations: Sequence[Operation], images: "tf.Tensor", positions: "tf.Tensor", seed: int) -> "tf.Tensor":
    """The images, each changed by random amounts that are a function of (seed, its position) alone.

    images: [n, height, width, channels] uint8, all but n static. positions: [n] int64. Returns uint8 of that shape;
    pixels from outside the image are 0. No operation's draws depend on which others there are. resize_crop is done
    where the picture is decoded: see `window`.
    """
    if not operations:
        return images
    from pipeline.augment import tensors

    return tensors.apply(operations, images, positions, seed)
