"""TensorFlow's profiler, for the steps of --profile."""

import contextlib
from pathlib import Path

import tensorflow as tf

from pipeline.text.flag_values import Steps


class Profiler:
    """Writes a trace of the given steps below TensorBoard's directory.

    It marks a step by the call that computes it, so each traced step needs its own call.
    """

    def __init__(self, steps: Steps, tensorboard: Path):
        self._first, self._end = steps
        self._directory = tensorboard
        self._runs = False

    def at(self, step: int) -> None:
        """Starts or ends the trace if that is due before this step. A run that resumes inside of it traces the rest."""
        if not self._runs and self._first <= step < self._end:
            tf.profiler.experimental.start(str(self._directory))
            self._runs = True
        elif self._runs and step >= self._end:
            tf.profiler.experimental.stop()
            self._runs = False

    def call(self, step: int) -> contextlib.AbstractContextManager:
        """Marks the work inside as this step, if the step is traced."""
        if not self._runs:
            return contextlib.nullcontext()
        return tf.profiler.experimental.Trace("train", step_num=step, _r=1)
