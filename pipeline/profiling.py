"""TensorFlow's own profiler, for the steps that --profile names."""

from pathlib import Path

import tensorflow as tf

from pipeline.config import parse_profile


class Profiler:
    """Writes a trace of steps START to END - 1 of 'START:END' below TensorBoard's directory; of '' none."""

    def __init__(self, steps: str, tensorboard: Path):
        self._first, self._end = parse_profile(steps)
        self._directory = tensorboard
        self._runs = False

    def boundaries_after(self, step: int) -> list[int]:
        """The later steps before which the profiler must be told where the run is."""
        return [boundary for boundary in (self._first, self._end) if boundary > step]

    def at(self, step: int) -> None:
        """Starts or ends the trace, if that is due before this step; a run resumed in its middle traces the rest."""
        if not self._runs and self._first <= step < self._end:
            tf.profiler.experimental.start(str(self._directory))
            self._runs = True
        elif self._runs and step >= self._end:
            tf.profiler.experimental.stop()
            self._runs = False
