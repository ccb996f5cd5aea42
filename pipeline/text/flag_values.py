"""Flags whose text stands for more than one value: sizes, ranges of steps, rates by step, devices by name."""

import re
from typing import NamedTuple

from pipeline.errors import UsageError

MOST_TOWERS = 1024


class Steps(NamedTuple):
    """The steps from `first` to `end` - 1; none where both are 0."""

    first: int = 0
    end: int = 0

    def __contains__(self, step: object) -> bool:
        return isinstance(step, int) and self.first <= step < self.end


class Lookahead(NamedTuple):
    """The rule of --lookahead: every `period` steps, slow copies keep kept * (share of the steps) ** power."""

    period: int
    kept: float
    power: int = 0


class ImageSize(NamedTuple):
    """Height and width of images in pixels; (0, 0) stands for the source's own size."""

    height: int = 0
    width: int = 0

    def __str__(self) -> str:
        return str(self.height) if self.height == self.width else f"{self.height}x{self.width}"


class Device(NamedTuple):
    """A device as users name it."""

    kind: str  # CPU or GPU
    number: int


class Normalization(NamedTuple):
    """The mean and the deviation of pixels in [0, 1]: one number each, or one for each channel; empty: none."""

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


NO_NORMALIZATION = Normalization()
# Of the training splits of these data sets.
NORMALIZATIONS = {
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": Normalization((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "mnist": Normalization((0.1307,), (0.3081,)),
}


class Views(NamedTuple):
    """What an evaluation sees of a picture besides itself: its mirror image, and both moved by so many pixels."""

    flip: bool = False
    shift: int = 0  # pixels; 0: nothing is moved


NO_VIEWS = Views()


def image_size(text: str) -> ImageSize:
    """'224' -> ImageSize(224, 224); '224x160' -> ImageSize(224, 160); '0' -> ImageSize(0, 0). Raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text)
    size = ImageSize(int(match[1]), int(match[2] or match[1])) if match else ImageSize()
    if not match or bool(size.height) != bool(size.width):
        raise UsageError(
            f"image_size={text} is not a size of up to 99999 pixels; write it as --image_size=224, or as HEIGHTxWIDTH, "
            "--image_size=224x160"
        )
    return size


def steps(name: str, text: str) -> Steps:
    """'100:110' -> Steps(100, 110); '' -> Steps(0, 0). Raises UsageError, which calls the flag by its `name`."""
    match = re.fullmatch(r"(\d{1,10}):(\d{1,10})", text)
    found = Steps(int(match[1]), int(match[2])) if match else Steps()
    if text and found.first >= found.end:
        raise UsageError(f"{name}={text} names no steps; write --{name}=START:END with START below END, as 100:110")
    return found


def lookahead(text: str) -> Lookahead | None:
    """'5:0.5' -> Lookahead(5, 0.5, 0); '5:0.77:3' -> Lookahead(5, 0.77, 3); '' -> None. Raises UsageError."""
    match = re.fullmatch(r"([1-9]\d{0,8}):(0|0?\.\d+)(?::(\d))?", text)
    if text and not match:
        raise UsageError(
            f"lookahead={text} is not STEPS:KEPT or STEPS:KEPT:POWER, a number of steps from 1 on, a share below 1 and "
            "a whole number up to 9; write it as 5:0.5 or 5:0.77:3"
        )
    return Lookahead(int(match[1]), float(match[2]), int(match[3] or 0)) if match else None


def rates(text: str) -> tuple[tuple[int, float], ...]:
    """'0:0.1,500:0.01' -> ((0, 0.1), (500, 0.01)): the rate from each step on. Raises UsageError unless steps rise."""
    try:
        pairs = tuple((int(step), float(rate)) for step, rate in (p.split(":") for p in text.split(",") if p))
    except ValueError:
        raise UsageError(f"piecewise={text} is not a list of STEP:RATE; write it as 0:0.1,500:0.01") from None
    starts = [step for step, _ in pairs]
    if starts != sorted(set(starts)) or any(step < 0 or not 0 <= rate < 1e308 for step, rate in pairs):
        raise UsageError(f"piecewise={text} needs rising steps from 0 on and rates of 0 or more; write 0:0.1,500:0.01")
    return pairs


def devices(text: str) -> tuple[Device, ...]:
    """'gpu:2,gpu:3' -> (Device('GPU', 2), Device('GPU', 3)). Raises UsageError; no device may be named twice."""
    found = []
    for name in filter(None, text.split(",")):
        match = re.fullmatch(r"(cpu|gpu):(\d+)", name.strip(), re.IGNORECASE)
        if not match:
            raise UsageError(f"tower_devices={text}: '{name}' is not a device; write cpu:N or gpu:N, as gpu:0,gpu:1")
        found.append(Device(match[1].upper(), int(match[2])))
    if any(kind == "CPU" and index >= MOST_TOWERS for kind, index in found):
        raise UsageError(f"tower_devices={text} goes beyond cpu:{MOST_TOWERS - 1}; number CPU towers from cpu:0 on")
    if len(set(found)) != len(found):
        raise UsageError(f"tower_devices={text} names a device twice; give each tower a device of its own")
    return tuple(found)


def pattern(name: str, text: str) -> re.Pattern[str]:
    """The regular expression. Raises UsageError, which calls the flag by its `name`, if it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        why = f"{name}={text} is not a regular expression: {error}"
        raise UsageError(f"{why}; write one, as --{name}=conv1/.*") from None


def normalization(text: str) -> Normalization:
    """'0.13/0.31' -> Normalization((0.13,), (0.31,)); 'imagenet' -> its numbers; '' -> none. Raises UsageError."""
    if not text or text in NORMALIZATIONS:
        return NORMALIZATIONS.get(text, NO_NORMALIZATION)
    try:
        mean, deviation = (tuple(map(float, part.split(","))) for part in text.split("/"))
    except ValueError:
        known = ", ".join(NORMALIZATIONS)
        raise UsageError(
            f"normalize={text} is not MEAN/DEVIATION; write numbers, as 0.5/0.25, or one of: {known}"
        ) from None
    if not all(0 <= value <= 1 for value in mean) or not all(1e-3 <= value <= 1e3 for value in deviation):
        raise UsageError(
            f"normalize={text} needs means from 0 to 1, of pixels in [0, 1], and deviations from 0.001 to 1000; "
            "divide numbers for 0 to 255 by 255"
        )
    return Normalization(mean, deviation)


def views(text: str) -> Views:
    """'flip,reflect_crop:1' -> Views(True, 1); '' -> Views(False, 0). Raises UsageError."""
    match = re.fullmatch(r"(flip)?(?:(?(1),)reflect_crop:([1-9]\d{0,3}))?", text)
    if not match:
        raise UsageError(
            f"tta={text} is no list of views; write --tta=flip, --tta=reflect_crop:PIXELS, or both, as "
            "flip,reflect_crop:1"
        )
    return Views(bool(match[1]), int(match[2] or 0))
