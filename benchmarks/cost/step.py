"""The time of a training step, and where it goes. PURE."""

import dataclasses
import math

from benchmarks.cost import collectives
from benchmarks.cost.collectives import NO_TIME, Algorithm, Seconds
from benchmarks.cost.hosts import Host
from benchmarks.cost.networks import ELEMENT, Network


@dataclasses.dataclass(frozen=True)
class Program:
    """A network in training on one tower."""

    network: Network
    example_s: float  # forward and backward pass of one example
    update_s: float  # what comes once a step after the sums, whatever the batch: the update and its norm
    tower_batch: int

    def computing(self, sharing: float) -> float:
        """Seconds of the passes of one step."""
        return self.example_s * self.tower_batch * sharing


@dataclasses.dataclass(frozen=True)
class Step:
    """Seconds of one step."""

    computing: float  # the passes and the update
    towers: float  # sums over towers and copies to them, where nothing else goes on
    waiting: Seconds  # for the sum over workers, where no pass goes on; by what the whole sum is made of
    examples: int  # of all workers

    @property
    def seconds(self) -> float:
        """The whole step."""
        return self.computing + self.towers + sum(self.waiting)

    @property
    def images_per_s(self) -> float:
        """Of all workers."""
        return self.examples / self.seconds


def step(program: Program, host: Host, workers: int, algorithm: Algorithm) -> Step:
    """One step of all workers, in which each does the same at the same time.

    Buckets travel one after the other, each once its last gradient is there; but once the passes are done where workers
    share cores, since passes keep these from messages. What a sum takes of the processor delays the passes, where it is
    the same processor.
    """
    sharing = host.sharing(workers)
    passes = program.computing(sharing)
    free = delayed = 0.0  # when the last sum was done; what sums have taken from the passes until then
    whole = NO_TIME
    for bucket in program.network.buckets():
        tree = _tree_s(bucket.elements, host)
        ready = bucket.ready if workers <= host.cores else 1.0
        began = max(free, passes * ready + delayed + tree)
        if workers > 1:
            traffic = algorithm(bucket.elements, workers)
            took = collectives.seconds(traffic, host, sharing)
            left = max(0.0, passes + delayed - began)
            delayed += min(left, collectives.processor_seconds(traffic, host, sharing))
            whole, free = whole.plus(took), began + sum(took)
    waited = max(0.0, free - passes - tree, delayed)
    waiting = whole.times(waited / sum(whole)) if sum(whole) else NO_TIME
    examples = program.tower_batch * host.towers * workers
    inside = tree + _copies_s(program.network.elements, host)
    return Step(passes + program.update_s * sharing, inside, waiting, examples)


def efficiency(program: Program, host: Host, workers: int, algorithm: Algorithm) -> float:
    """The speed beside as many times that of one worker with the same towers."""
    alone = step(program, host, 1, algorithm).images_per_s
    return step(program, host, workers, algorithm).images_per_s / (workers * alone)


def _tree_s(elements: int, host: Host) -> float:
    """The sum of one bucket over the towers of a worker: pairs, pairs of pairs, ..., until the first tower has it."""
    rounds = math.ceil(math.log2(host.towers)) if host.towers > 1 else 0
    return rounds * (host.inside.hop_s + ELEMENT * elements / host.inside.bytes_per_s)


def _copies_s(elements: int, host: Host) -> float:
    """The sums' way from the first tower to all others, one after the other."""
    return (host.towers - 1) * (host.inside.hop_s + ELEMENT * elements / host.inside.bytes_per_s)
