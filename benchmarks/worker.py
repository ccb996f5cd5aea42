"""One contender in a process of its own: python -m benchmarks.worker TASK-AS-JSON.

It trains a round and reports it in a line of JSON on stdout. Then it waits for a line on stdin before the next round,
and ends at the end of stdin. While it waits, it takes no processor time from the contender whose turn it is.
"""

import importlib
import json
import math
import os
import sys
import time
import traceback
from typing import TextIO

from benchmarks import memory, synchronization
from benchmarks.task import Task
from benchmarks.turns import Round, Unavailable
from pipeline.errors import PipelineError
from pipeline.process.exits import exit_with

LONGEST_REASON = 300  # characters of an error


class Turns:
    """The Pause of a contender that gets its turns from stdin."""

    def __init__(self, replies: TextIO, least_seconds: float = 0.0):
        self._replies, self._least_seconds = replies, least_seconds
        self._rounds = self._units = 0
        self._started = time.perf_counter()  # the first round has the start in it: a warm-up, to be left out

    def __call__(self, loss: float = math.nan, num_parameters: int = 0) -> None:
        synchronization.wait()
        seconds = time.perf_counter() - self._started
        self._units += 1
        if self._rounds and seconds < self._least_seconds:
            return
        peaks = memory.host_peak_bytes(), memory.device_peak_bytes()
        done = Round(seconds, loss, num_parameters, *peaks, self._units)
        self.say(done._asdict())
        if not sys.stdin.readline():
            sys.exit()
        self._rounds, self._units = self._rounds + 1, 0
        self._started = time.perf_counter()

    def say(self, reply: dict) -> None:
        """The turn as one line of JSON."""
        print(json.dumps(reply), file=self._replies, flush=True)


def main(argument: str) -> None:
    """Trains until stdin ends."""
    task = Task(**json.loads(argument))
    turns = Turns(os.fdopen(os.dup(1), "w"), task.least_seconds)
    os.dup2(2, 1)  # whatever else is printed goes to stderr
    if not task.python:
        from pipeline.process.startup import import_tensorflow  # needs what the peers' environment lacks

        import_tensorflow()
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(task.precision != "float32")
    module, _, function = task.contender.partition(":")
    try:
        contender = importlib.import_module(f"benchmarks.contenders.{module}")
        getattr(contender, function or "train")(task, turns)
    except Unavailable as error:
        turns.say({"unavailable": str(error)})
    except PipelineError as error:
        exit_with(error)
    except Exception as error:  # such as for want of memory: the others go on without this one
        traceback.print_exc()
        turns.say({"unavailable": f"failed: {_in_a_line(error)}"})


def _in_a_line(error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}"[:LONGEST_REASON]


if __name__ == "__main__":
    main(sys.argv[1])
