"""Augmentation as --augment says it: a comma list of operations.

resize_crop comes first, whatever their order, then shift, rotate, scale, shear, flip, alternating_flip and crop in
theirs, then elastic, reflect_crop, randaugment, trivialaugment, brightness, contrast, saturation, hue, cutout, erasing,
and mixup or cutmix.
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
    most_times: int = 0  # a second number may follow, up to this: how often the operation is done


# Every operation, and the amount that it takes.
OPERATIONS = {
    "resize_crop": Amount("a share of the area", 1, "0.25"),
    "shift": Amount("a whole number of pixels", 9999, "2", whole=True),
    "rotate": Amount("degrees", 180, "15"),
    "scale": Amount("a fraction", 0.99, "0.1"),
    "shear": Amount("degrees", 80, "10"),
    "flip": None,
    "alternating_flip": None,
    "crop": Amount("a whole number of pixels", 9999, "4", whole=True),
    "elastic": Amount("pixels", 9999, "1.5"),
    "reflect_crop": Amount("a whole number of pixels", 9999, "4", whole=True),
    "cutout": Amount("a whole number of pixels", 9999, "8", whole=True),
    "randaugment": Amount("a whole magnitude", 30, "9", whole=True, most_times=8),
    "trivialaugment": None,
    "brightness": Amount("a fraction", 1, "0.4"),
    "contrast": Amount("a fraction", 1, "0.4"),
    "saturation": Amount("a fraction", 1, "0.4"),
    "hue": Amount("a share of the colour circle", 0.5, "0.1"),
    "erasing": Amount("a share of the images", 1, "0.25"),
    "mixup": Amount("the alpha of a Beta distribution", 10, "0.2"),
    "cutmix": Amount("the alpha of a Beta distribution", 10, "1"),
}
TIMES = 2  # how often, where no second number follows


@dataclasses.dataclass(frozen=True)
class Operation:
    """One random change of an image, at most `amount` strong (in the operation's unit; 0 without one)."""

    name: str
    amount: float
    times: int = 1  # how often it is done to one image


def parse(text: str) -> tuple[Operation, ...]:
    """'shift:2,flip' -> (Operation('shift', 2), Operation('flip', 0)); '' -> ().

    Raises UsageError for an operation that is unknown, malformed or given twice. Imports no TensorFlow.
    """
    operations = tuple(_parse_one(part.strip()) for part in text.split(",")) if text.strip() else ()
    names = [operation.name for operation in operations]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"augment={text} names {name} twice; give each operation once")
    if {"flip", "alternating_flip"} <= set(names):
        raise UsageError(f"augment={text} has both flip and alternating_flip; give one of them")
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
    text, again, times_text = text.partition(":") if amount.most_times else (text, "", "")
    value = _number(text, amount.whole)
    if not 0 < value <= amount.most:
        raise UsageError(
            f"augment: '{part}' needs {amount.unit}, above 0 and at most {amount.most}; "
            f"write it as {name}:{amount.example}"
        )
    if not amount.most_times:
        return Operation(name, value)
    times = _number(times_text, whole=True) if again else TIMES
    if not 1 <= times <= amount.most_times:
        raise UsageError(
            f"augment: '{part}' needs a number of times from 1 to {amount.most_times} in the end; "
            f"write it as {name}:{amount.example}:{TIMES}"
        )
    return Operation(name, value, int(times))


def _number(text: str, whole: bool) -> float:
    """The number; nan for any other text."""
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return math.nan


def mixes(operations: Sequence[Operation]) -> bool:
    """Whether images are mixed with others, so that labels become distributions."""
    return any(operation.name in ("mixup", "cutmix") for operation in operations)


def check_colours(operations: Sequence[Operation], channels: int) -> None:
    """Raises UsageError for an operation that does nothing to images of this many channels."""
    for operation in operations:
        if operation.name in ("saturation", "hue") and channels == 1:
            raise UsageError(
                f"augment: {operation.name} needs colours, and the images are grey; leave {operation.name} out"
            )


def has_windows(operations: Sequence[Operation]) -> bool:
    """Whether a part of each picture is taken, before it is resized."""
    return any(operation.name == "resize_crop" for operation in operations)


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


def apply(
    operations: Sequence[Operation],
    images: "tf.Tensor",
    positions: "tf.Tensor",
    seed: int,
    examples: "tf.Tensor | None" = None,
    epochs: "tf.Tensor | None" = None,
) -> "tf.Tensor":
    """The images, each changed by random amounts that are a function of (seed, its position) alone.

    images: [n, height, width, channels] uint8, all but n static. positions: [n] int64. examples, epochs: the number of
    each example and the epoch that it is seen in, [n] int64, for alternating_flip, which is a function of (seed, both).
    Returns uint8 of the images' shape; pixels from outside the image are 0. No operation's draws depend on which others
    there are. resize_crop is done where the picture is decoded: see `window`.
    """
    if not operations:
        return images
    from pipeline.augment import tensors

    return tensors.apply(operations, images, positions, seed, examples, epochs)


def mixed(
    operations: Sequence[Operation],
    images: "tf.Tensor",
    labels: "tf.Tensor",
    positions: "tf.Tensor",
    seed: int,
    classes: int,
) -> "tuple[tf.Tensor, tf.Tensor]":
    """The images, each mixed with its neighbour's by mixup or cutmix, and labels [n, classes] float32, mixed likewise.

    images: [n, height, width, channels] uint8, n even. labels: [n], or [n, classes] float32. positions: [n] int64, the
    first even within its batch, rising by 1. Of mixup and cutmix, where both are given, each is done to half of the
    images. Shares are drawn from Beta(alpha, alpha) for each image (Zhang et al. 2018; Yun et al. 2019), from (seed,
    position) alone. Without mixup and cutmix, images stay and labels [n] are 1 at their class.
    """
    from pipeline.augment import mixing

    if not mixes(operations):
        return images, mixing.shares(labels, classes)
    return mixing.apply(operations, images, labels, positions, seed, classes)
