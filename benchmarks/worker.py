"""One contender in a process of its own: python -m benchmarks.worker TASK-AS-JSON.

It trains a round and says so in a line of JSON on stdout; then it waits for a line on stdin before the next round,
and ends at the end of stdin. Waiting it takes no processor time from the contender whose turn it is.
"""

import importlib
import json
import os
import sys
import time
from typing import TextIO

from benchmarks.task import Task
from pipeline import command, exits
from pipeline.exits import PipelineError


class Turns:
    """Calling it ends a round, and returns when the next may begin."""

    def __init__(self, replies: TextIO):
        self._replies = replies
        self._started = time.perf_counter()  # the first round has the start in it: a warm-up, to be left out

    def __call__(self) -> None:
        seconds = time.perf_counter() - self._started
        print(json.dumps({"seconds": seconds}), file=self._replies, flush=True)
        if not sys.stdin.readline():
            sys.exit()
        self._started = time.perf_counter()


def main(argument: str) -> None:
    """Trains for as long as it is told to."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed goes to stderr
    command.import_tensorflow()
    task = Task(**json.loads(argument))
    contender = importlib.import_module(f"benchmarks.contenders.{task.contender}")
    try:
        contender.train(task, Turns(replies))
    except PipelineError as error:
        exits.exit_with(error)


if __name__ == "__main__":
    main(sys.argv[1])
