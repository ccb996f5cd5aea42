"""A supervisor of stand-ins, in a process of its own: python supervised.py '{"workers": [[ACT, …], …], …}'."""

import functools
import json
import signal
import sys
from pathlib import Path

import commands
import stand_in

from pipeline import supervise
from pipeline.process.exits import pass_on
from pipeline.process.preemption import Preemption
from pipeline.runs import manifests
from pipeline.workers.supervisor import Limits, Supervisor, Worker


def main(told: dict) -> None:
    workers = [
        Worker(
            index,
            [sys.executable, stand_in.__file__, *acts],
            commands.environment(),
            supervise._prefixes(index, several=True) if told.get("prefixed") else None,
        )
        for index, acts in enumerate(told["workers"])
    ]
    with Preemption.listening() as preemption:
        newest = functools.partial(manifests.newest_step, Path(told.get("checkpoints", "/nonexistent")))
        say = functools.partial(print, file=sys.stderr, flush=True)
        stop_signal = lambda: preemption.reason and signal.Signals[preemption.reason]  # noqa: E731
        supervisor = Supervisor(workers, Limits(**told["limits"]), newest, stop_signal, say)
        pass_on(supervisor.run())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
