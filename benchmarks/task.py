"""What one contender is asked to do."""

import dataclasses
from typing import Any

STEPS_PER_CALL = 10  # inside one tf.function, for every contender that has such a loop


@dataclasses.dataclass(frozen=True)
class Task:
    """Train `model` with Adam on batches of `batch`, in rounds of `round_steps`."""

    contender: str  # a module of benchmarks.contenders
    batch: int
    round_steps: int
    towers: int = 1
    model: str = "convolutional"
    learning_rate: float = 1e-3
    source: str = "digits"
    data_dir: str = ""

    @property
    def label(self) -> str:
        """The contender's name in a table."""
        return f"{self.contender} ({self.towers} towers)" if self.towers > 1 else self.contender

    def images_per_second(self, seconds: float) -> float:
        """The speed of a round that took `seconds`."""
        return self.batch * self.round_steps / seconds

    def as_dict(self) -> dict[str, Any]:
        """For JSON; Task(**as_dict()) is the same task."""
        return dataclasses.asdict(self)


def steps_for(images: int, batch: int) -> int:
    """The steps of a round of about `images` images: whole calls, at least one."""
    return max(1, round(images / batch / STEPS_PER_CALL)) * STEPS_PER_CALL
