"""The cost of --recheck_every: python -m benchmarks.rechecks [--model=convolutional] [--towers=1] [--rounds=20].

Plain and rechecked steps of one trainer take turns, so that other work on the machine meets both.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from benchmarks.tables import columns
from pipeline.config import Config, resolve
from pipeline.engine import devices, topology
from pipeline.engine.assembly import Assembly
from pipeline.engine.checks import checks
from pipeline.engine.trainer import Trainer

LOOP = 10  # steps in a call, as --steps_per_loop's default


def main() -> None:
    """Prints the seconds of both, and the share of --every steps that one recheck costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="convolutional")
    parser.add_argument("--source", default="fake:6000")
    parser.add_argument("--towers", type=int, default=0)
    parser.add_argument("--grad_shards", type=int, default=0)
    parser.add_argument("--global_batch", type=int, default=100)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    asked = vars(parser.parse_args())
    every, rounds = asked.pop("every"), asked.pop("rounds")
    plain, rechecked = measure(Config(**asked), rounds)
    cost = (rechecked - plain) / (every * plain)
    header = ("plain step", "rechecked step", f"cost at --recheck_every={every}")
    print(columns(header, [(f"{1000 * plain:.1f} ms", f"{1000 * rechecked:.1f} ms", f"{cost:.2%}")]))


def measure(asked: Config, rounds: int) -> tuple[float, float]:
    """The median seconds of a plain and of a rechecked step."""
    where = topology.from_config(asked, devices.num_gpus())
    config = resolve(asked, where.total_towers)
    devices.start(where, config)
    assembly = Assembly(config, where)
    trainer = Trainer(assembly, assembly.initial())
    plain, rechecked = [], []
    for turn in range(rounds + 1):
        first = turn * (LOOP + 1)
        todo = checks(where, config.grad_shards, turn)
        plain.append(_seconds(trainer.advance, first, first + LOOP) / LOOP)
        rechecked.append(_seconds(trainer.advance_rechecked, first + LOOP, todo))
    return statistics.median(plain[1:]), statistics.median(rechecked[1:])  # the first ones trace


def _seconds(call: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
