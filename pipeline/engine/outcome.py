"""The results of steps, for those who call the trainer."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.engine.progress import Figures, Progress


class Outcome(NamedTuple):
    """The outcome of the last step that was computed: tensors in a TensorFlow function, NumPy scalars outside."""

    next_step: tf.Tensor  # [] int64: the global step reached; where a step diverged, that step
    diverged: tf.Tensor  # [] bool
    stop: tf.Tensor  # [] bool: whether a worker asked to stop after this step
    loss: tf.Tensor  # [] float32, mean over the global batch
    correct: tf.Tensor  # [] int32
    gradient_norm: tf.Tensor  # [] float32, before clipping
    learning_rate: tf.Tensor  # [] float32
    input_seconds: tf.Tensor  # [] float64: the wait for examples, over all steps of a call
    reduction_seconds: tf.Tensor  # [] float64: the first tower's wait for other workers' gradients, over all steps
    tower_seconds: tf.Tensor  # [towers] float64: see `Towers.seconds_of`, over all steps

    @classmethod
    def of(cls, first: tf.Tensor, end: Progress, figures: Figures) -> "Outcome":
        """The outcome of a loop that began at step `first`; in a TensorFlow function, on the host."""
        reached = first + tf.cast(figures.applied, tf.int64)
        numbers = figures.loss, tf.cast(figures.correct, tf.int32), figures.gradient_norm, figures.learning_rate
        return cls(reached, figures.diverged > 0, end.stop, *numbers, *end[2:])

    def as_numpy(self) -> "Outcome":
        """The same outcome as NumPy scalars."""
        return Outcome(*(value.numpy() for value in self))


class Gradient(NamedTuple):
    """The averaged gradient of one step, by parameter, and the step's loss."""

    loss: float
    by_parameter: dict[str, np.ndarray]
