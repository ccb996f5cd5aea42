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
