"""The results of steps, for those who call the trainer."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.engine import exchange
from pipeline.engine.progress import Figures, Progress


class Outcome(NamedTuple):
    """The outcome of the last step that was computed: tensors in a TensorFlow function, NumPy scalars outside."""

    next_step: tf.Tensor  # [] int64: the global step reached; where a step diverged, that step
    diverged: tf.Tensor  # [] bool
    asking: tf.Tensor  # [] float32: the sum of what the workers asked for at this step
    loss: tf.Tensor  # [] float32, mean over the global batch
    correct: tf.Tensor  # [] int32
    gradient_norm: tf.Tensor  # [] float32, before clipping
    learning_rate: tf.Tensor  # [] float32
    input_seconds: tf.Tensor  # [] float64: the wait for examples, over all steps of a call
    reduction_seconds: tf.Tensor  # [] float64: the first tower's wait for other workers' gradients, over all steps
    tower_seconds: tf.Tensor  # [towers] float64: see `Towers.seconds_of`, over all steps

    @property
    def stops(self) -> bool:
        """Whether a worker asked all of them to stop after this step."""
        return bool(self.asking >= exchange.STOP)

    @property
    def saves(self) -> bool:
        """Whether a worker asked all of them to save after this step, as one does that asks to stop."""
        return bool(self.asking > exchange.NOTHING)

    @classmethod
    def of(cls, first: tf.Tensor, end: Progress, figures: Figures) -> "Outcome":
        """The outcome of a loop that began at step `first`; in a TensorFlow function, on the host."""
        reached = first + tf.cast(figures.applied, tf.int64)
        numbers = figures.loss, tf.cast(figures.correct, tf.int32), figures.gradient_norm, figures.learning_rate
        return cls(reached, figures.diverged > 0, end.asking, *numbers, *end[2:])

    @classmethod
    def of_calls(
        cls, first: int, figures: npt.NDArray[np.float32], asking: float, input_seconds: float, towers: int
    ) -> "Outcome":
        """The outcome of calls of a step each, the first one of step `first`. figures: those after the last one."""
        last = Figures(*figures)
        reached, correct, asked = np.int64(first + int(last.applied)), np.int32(last.correct), np.float32(asking)
        times = np.float64(input_seconds), np.float64(0), np.zeros([towers])
        numbers = last.loss, correct, last.gradient_norm, last.learning_rate
        return cls(reached, last.diverged > 0, asked, *numbers, *times)

    def as_numpy(self) -> "Outcome":
        """The same outcome as NumPy scalars."""
        return Outcome(*(value.numpy() for value in self))


class Gradient(NamedTuple):
    """The averaged gradient of one step, by parameter, and the step's loss."""

    loss: float
    by_parameter: dict[str, np.ndarray]
