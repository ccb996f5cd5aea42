"""A contender's turns, one for each round, and the pause between them."""

import math
from typing import NamedTuple, Protocol


class Round(NamedTuple):
    """One round, as the worker process reports it."""

    seconds: float
    loss: float = math.nan  # of the last step, or the round's mean; nan where nothing is trained
    num_parameters: int = 0
    peak_bytes: int = 0  # the most memory of the host that the process has held since its start
    device_peak_bytes: int = 0  # the same of its GPUs; 0 where there are none or the framework cannot say
    units: int = 1  # of `Task.round_steps` steps


class Pause(Protocol):
    """Calling it ends a unit of a round, and returns once its computation is done and the next one may begin."""

    def __call__(self, loss: float = math.nan, num_parameters: int = 0) -> None: ...


class Unavailable(Exception):
    """A contender cannot run here; the message says what it lacks."""
