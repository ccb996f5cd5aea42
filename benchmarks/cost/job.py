"""What is done around the steps of a job, what it costs at a size, and how that grows. PURE."""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.cost import collectives
from benchmarks.cost.hosts import Around, Host
from benchmarks.cost.networks import ELEMENT, Network
from benchmarks.cost.step import Program, step

MEETING_ROUNDS = 3  # of words: until one is heard, knows that it is, and knows that all know
PULSE_S = 1.0  # as in pipeline.workers.peers
VERDICT_BYTES = 12  # of an example in an evaluation: its label, its class, the class's probability
HASH_BYTES, EXAMPLES_BYTES = 66, 200  # of a state's hash, and of a description of the examples, in JSON
MEMBER_BYTES = 150  # of a device, where TensorFlow names the members of a group
SILENT_S, RESTART_S = 2.5, 1.0  # until a silent worker counts as gone; a supervisor's first pause

_BY_CHIEF = "a chief or a tree passes words on: each worker speaks to one"
_BY_SUM = "the largest and the least of each word of the hash: no place for each worker"
_BY_HALVING = "recursive halving and doubling: 2 log2 W messages"


class Item(NamedTuple):
    """Something that the code does for a job."""

    event: str  # at which it is done: start, step, second, save, evaluation
    what: str
    seconds: float  # of the busiest worker, each time
    growth: str  # of all W workers' work together; "1" where one does it, or where they share it
    proposal: str = ""  # for what grows faster than W log W
    beside: bool = False  # whether the training goes on meanwhile
    by_one: bool = False  # whether the chief does it for all


class Size(NamedTuple):
    """A job, and what it is made of."""

    program: Program
    host: Host
    around: Around
    workers: int
    examples: int = 50_000  # of the split that is evaluated

    @property
    def network(self) -> Network:
        """The network in training."""
        return self.program.network

    def sum_s(self, elements: float) -> float:
        """A ring's sum between the memories of the hosts; nothing for one worker."""
        if self.workers == 1:
            return 0.0
        traffic = collectives.ring(math.ceil(elements), self.workers)
        link = self.host.words or self.host.between
        speaking = dataclasses.replace(self.host, between=link)
        return sum(collectives.seconds(traffic, speaking, self.host.sharing(self.workers)))

    def gather_s(self, payload: float) -> float:
        """`Cluster.gather` of so many bytes from each: a sum of sizes, then of a vector with a place for each."""
        return self.sum_s(self.workers) + self.sum_s(self.workers * payload / ELEMENT)


def items(size: Size) -> list[Item]:
    """What the code does whose cost may depend on the size, in the order of a job."""
    return [*_of_start(size), *_of_steps(size), *_of_save(size), *_of_evaluation(size)]


def _of_start(size: Size) -> Iterator[Item]:
    others, around, state = size.workers - 1, size.around, size.network.state_bytes
    hello = around.word_written_s + around.word_read_s * around.bytes_of_hello / around.bytes_of_word
    yield Item("start", "words to and from all", MEETING_ROUNDS * others * hello, "W^2", _BY_CHIEF)
    compared = MEETING_ROUNDS * others**2 * around.hello_compared_s
    yield Item("start", "every word compares all hellos", compared, "W^3", "a hello is compared once, when it comes")
    named = size.workers**2 * MEMBER_BYTES / (size.host.words or size.host.between).bytes_per_s
    yield Item("start", "TensorFlow's chief names a group to all", named, "W^2", "none: TensorFlow's own", by_one=True)
    yield Item("start", "the same examples: gathered by all", size.gather_s(EXAMPLES_BYTES), "W^2", _BY_SUM)
    read = state / around.disk_bytes_per_s + state / around.hashed_bytes_per_s
    yield Item("start", "the chief reads and verifies a checkpoint", read, "1")
    yield Item("start", "its state to all, as a ring's sum", size.sum_s(state / ELEMENT), "W^2", _BY_HALVING)


def _of_steps(size: Size) -> Iterator[Item]:
    traffic = [collectives.exact(bucket.elements, size.workers) for bucket in size.network.buckets()]
    hops, messages = sum(one.hops for one in traffic), sum(one.messages for one in traffic)
    found = step(size.program, size.host, size.workers, collectives.EXACT)
    what = f"the sum: {messages:,} messages, {hops:,} hops"
    yield Item("step", what, sum(found.waiting), "W^2", f"{_BY_HALVING}; larger buckets")
    pulses = (size.workers - 1) * (size.around.word_written_s + size.around.word_read_s) / PULSE_S
    yield Item("second", "pulses to and from all", pulses, "W^2", _BY_CHIEF, beside=True)


def _of_save(size: Size) -> Iterator[Item]:
    around, state, replicas = size.around, size.network.state_bytes, size.host.towers
    hashed = state / around.hashed_bytes_per_s
    each = state / around.device_bytes_per_s + hashed
    yield Item("save", f"{replicas} replicas, read and hashed in turn", replicas * each, "W")
    yield Item("save", "the whole state hashed once more", hashed if size.workers > 1 else 0.0, "W")
    yield Item("save", "hashes: gathered by all", size.gather_s(HASH_BYTES), "W^2", _BY_SUM)
    written = state / around.disk_bytes_per_s + (2 + 1 / 3) * hashed  # of files, of parameters, of the state
    yield Item("save", "one writer: written and hashed", written, "1", beside=True)


def _of_evaluation(size: Size) -> Iterator[Item]:
    share = -(-size.examples // (size.workers * size.host.towers))
    scored = share * size.program.example_s / 3 * size.host.sharing(size.workers)  # a forward pass is a third
    yield Item("evaluation", f"{size.examples:,} examples scored", scored, "1")
    verdicts = size.gather_s(VERDICT_BYTES * size.examples / size.workers)
    yield Item("evaluation", "verdicts: gathered by all", verdicts, "W^2", _BY_HALVING)


class Events(NamedTuple):
    """What the events of a job cost, in seconds that the training waits."""

    start: float
    save: float
    evaluation: float
    recovery: float  # from the loss of a worker to the next step, without the steps that are done again
    failures_apart: float  # the mean time between two
    interval: float  # between saves, at which these and steps done again cost least together (Young 1974)

    @property
    def lost(self) -> float:
        """The share of time that saves, recoveries and steps done again take, at that interval."""
        return self.save / self.interval + (self.recovery + self.interval / 2) / self.failures_apart


def events(size: Size) -> Events:
    """The events of a job of this size."""
    waits = {event: 0.0 for event in ("start", "step", "second", "save", "evaluation")}
    for item in items(size):
        waits[item.event] += 0.0 if item.beside else item.seconds
    start = size.around.process_s + size.around.first_call_s + waits["start"]
    apart = 3600 / (size.around.failures_per_gpu_hour * size.workers * size.host.towers)
    interval = math.sqrt(2 * waits["save"] * apart)
    return Events(start, waits["save"], waits["evaluation"], SILENT_S + RESTART_S + start, apart, interval)
