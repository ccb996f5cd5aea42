"""What is done around the steps of a job, what it costs at a size, and how that grows. PURE."""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.cost import collectives
from benchmarks.cost.hosts import Around, Host
from benchmarks.cost.networks import Network
from benchmarks.cost.step import Program, step
from pipeline.workers import fingers

MEETING_ROUNDS = 3  # of words: until one is heard, knows that it is, and knows that all know
DIGEST_BYTES, CHUNK_BYTES = 36, 4 << 20  # of a hash that is compared; of a state, that are sent at once
VERDICT_BYTES = 12  # of an example in an evaluation: its label, its class, the class's probability
MEMBER_BYTES = 150  # of a device, where TensorFlow names the members of a group
SILENT_S, RESTART_S = 2.5, 1.0  # until a silent worker counts as gone; a supervisor's first pause

_BY_GROUPS = "groups of workers, of which one speaks for all"


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

    def rounds_s(self, sent: float, rounds: float) -> float:
        """So many messages of a host's memory, one after the other, with so many bytes in all; none for one worker."""
        link, sharing = self.host.words or self.host.between, self.host.sharing(self.workers)
        traffic = collectives.Traffic(1, 1, sent, 0.0)
        speaking = dataclasses.replace(self.host, between=link)
        bytes_s = collectives.seconds(traffic, speaking, sharing).sent
        return 0.0 if self.workers == 1 else bytes_s + rounds * (link.hop_s + link.message_s * sharing)

    def compare_s(self) -> float:
        """`Cluster.unequal` where all are equal, by recursive doubling."""
        return self.rounds_s(len(self._partners) * DIGEST_BYTES, len(self._partners))

    def gather_s(self, payload: float) -> float:
        """`Cluster.gather` of so many bytes from each, by recursive doubling: in each round a size, then the bytes."""
        return self.rounds_s((self.workers - 1) * payload, 2 * len(self._partners))

    def broadcast_s(self, payload: float) -> float:
        """`Cluster.broadcast`: a worker sends chunks to two, while the next ones come, and the last one goes on."""
        chunks, depth = payload / CHUNK_BYTES, math.log2(self.workers)
        return self.rounds_s(2 * (payload + min(payload, CHUNK_BYTES) * depth), 2 * (chunks + depth))

    @property
    def _partners(self) -> list[int]:
        return fingers.partners(0, self.workers)

    @property
    def neighbours(self) -> int:
        """The workers with whom one exchanges words."""
        return len(fingers.neighbours(0, self.workers))

    @property
    def word_s(self) -> float:
        """A word of the meeting written and read, with what it tells of all workers, if there are many."""
        around = self.around
        news_s = around.news_s + around.news_of_worker_s * self.workers if self._are_many else 0.0
        return around.word_written_s + around.word_read_s + news_s

    @property
    def pulse_s(self) -> float:
        """A word after the meeting, while all is well."""
        around = self.around
        return around.word_written_s + around.word_read_s + (around.pulse_news_s if self._are_many else 0.0)

    @property
    def _are_many(self) -> bool:
        return self.neighbours < self.workers - 1


def items(size: Size) -> list[Item]:
    """What the code does whose cost may depend on the size, in the order of a job."""
    return [*_of_start(size), *_of_steps(size), *_of_save(size), *_of_evaluation(size)]


def _of_start(size: Size) -> Iterator[Item]:
    around, state = size.around, size.network.state_bytes
    near, hops = size.neighbours, fingers.hops(size.workers)
    pulses = near * (MEETING_ROUNDS if hops == 1 else MEETING_ROUNDS + 2 * hops)
    hello = around.word_read_s * around.bytes_of_hello / around.bytes_of_word
    yield Item("start", "words with neighbours", pulses * (size.word_s + hello), "W^2 log^2 W", _BY_GROUPS)
    yield Item("start", "their hellos compared", pulses * around.hello_compared_s, "W log^2 W")
    named = size.workers**2 * MEMBER_BYTES / (size.host.words or size.host.between).bytes_per_s
    yield Item("start", "TensorFlow's chief names a group to all", named, "W^2", "none: TensorFlow's own", by_one=True)
    yield Item("start", "the same examples: hashes compared in pairs", size.compare_s(), "W log W")
    read = state / around.disk_bytes_per_s + state / around.hashed_bytes_per_s
    yield Item("start", "the chief reads and verifies a checkpoint", read, "1")
    yield Item("start", "its state to all, along a tree", size.broadcast_s(state), "W")


def _of_steps(size: Size) -> Iterator[Item]:
    traffic = [collectives.exact(bucket.elements, size.workers) for bucket in size.network.buckets()]
    hops, messages = sum(one.hops for one in traffic), sum(one.messages for one in traffic)
    found = step(size.program, size.host, size.workers, collectives.exact)
    what = f"the sum: {messages:,} messages, {hops:,} hops"
    yield Item("step", what, sum(found.waiting), "W log W")
    pulses = size.neighbours * size.pulse_s / fingers.PULSE_S
    yield Item("second", "pulses with neighbours", pulses, "W log W", beside=True)
    told = fingers.TO_CHIEF_A_PULSE * size.pulse_s / fingers.PULSE_S if fingers.hops(size.workers) > 1 else 0.0
    yield Item("second", "pulses to the chief, in turn", told, "1", beside=True, by_one=True)


def _of_save(size: Size) -> Iterator[Item]:
    around, state, replicas = size.around, size.network.state_bytes, size.host.towers
    hashed = state / around.hashed_bytes_per_s
    each = state / around.device_bytes_per_s + hashed
    yield Item("save", f"{replicas} replicas, read and hashed in turn", replicas * each, "W")
    yield Item("save", "the whole state hashed once more", hashed if size.workers > 1 else 0.0, "W")
    yield Item("save", "hashes compared in pairs", size.compare_s(), "W log W")
    written = state / around.disk_bytes_per_s + (2 + 1 / 3) * hashed  # of files, of parameters, of the state
    yield Item("save", "one writer: written and hashed", written, "1", beside=True)


def _of_evaluation(size: Size) -> Iterator[Item]:
    share = -(-size.examples // (size.workers * size.host.towers))
    scored = share * size.program.example_s / 3 * size.host.sharing(size.workers)  # a forward pass is a third
    yield Item("evaluation", f"{size.examples:,} examples scored", scored, "1")
    verdicts = size.gather_s(VERDICT_BYTES * size.examples / size.workers)
    yield Item("evaluation", "verdicts gathered in pairs", verdicts, "W log W")


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
