"""The parameters of hosts and of the links between them, measured here or cited. PURE."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Link:
    """The way between two workers' memories."""

    hop_s: float  # until the first byte of a message is there, with nobody in between
    message_s: float = 0.0  # of the worker's processor, for a message that it sends and one that it receives
    byte_s: float = 0.0  # of the worker's processor, for a byte that it sends and one that it receives
    bytes_per_s: float = math.inf  # in each direction

    def at(self, bytes_per_s: float) -> "Link":
        """This link, with another rate."""
        return dataclasses.replace(self, bytes_per_s=bytes_per_s)


@dataclasses.dataclass(frozen=True)
class Host:
    """A worker's machine, or its share of one."""

    name: str
    between: Link  # the first towers of two workers
    towers: int = 1
    inside: Link = Link(0.0)  # between two towers
    words: Link | None = None  # between two hosts' memories, between steps; None: as between the towers
    cores: float = math.inf  # that the workers of one machine share; inf: each worker has its own
    crowding: float = 1.0  # times that a core takes longer where others of its machine work, too
    queue_s: float = 0.0  # that a message waits for its reader's core, for each other worker that computes on it
    handled_byte_s: float = 0.0  # to pack, add and unpack a byte of the gradient in an exact all-reduce

    def sharing(self, workers: int) -> float:
        """How many times longer a worker's core takes than for one worker alone."""
        return max(1.0, workers / self.cores) * (self.crowding if workers > 1 else 1.0)


@dataclasses.dataclass(frozen=True)
class Around:
    """What the work between steps is made of. Seconds are of one core, unless they are said to be of a clock."""

    word_written_s: float = 60e-6  # one datagram of a worker, made and sealed
    word_read_s: float = 60e-6  # the same, opened and judged
    hello_compared_s: float = 20e-6  # one worker's hello beside one's own
    pulse_news_s: float = (
        60e-6  # more for a word of many workers, written and read: what it passes on while all is well
    )
    news_s: float = 75e-6  # the same until all have met
    news_of_worker_s: float = 70e-9  # and for each worker of whom that tells
    hashed_bytes_per_s: float = 1.5e9  # SHA-256
    disk_bytes_per_s: float = 1e9  # of the one writer, with fsync
    device_bytes_per_s: float = 25e9  # from a tower's device to the host
    process_s: float = 8.0  # by the clock: from a command to a worker that can meet the others
    first_call_s: float = 17.0  # by the clock: the trace and first call of the step
    bytes_of_word: float = 400.0
    bytes_of_hello: float = 3000.0
    failures_per_gpu_hour: float = 419 / (54 * 24 * 16_384)


# Ring, protocol Simple, of a hop over the network: 9.6 microseconds, and one of 8.4 for the whole (hwLat and baseLat in
# NCCL's src/graph/tuning.cc of 2020). A worker's first tower sends for all of them: one adapter of 400 Gbit/s of the
# eight of a DGX H100. NVLink 4: 900 GB/s, both directions together (NVIDIA's data sheets of DGX H100 and H100).
# A microsecond a message, and 2 for a kernel between two GPUs, are assumed.
_ADAPTER, _NVLINK = 400e9 / 8, 450e9  # bytes/s
H100 = Host(
    name="8 x H100, NVLink, 400 Gbit/s a worker",
    between=Link(hop_s=9.6e-6, message_s=1e-6, bytes_per_s=_ADAPTER),
    towers=8,
    inside=Link(hop_s=2e-6, bytes_per_s=_NVLINK),
)

_PAYLOAD = 1448 / 1514  # the share of the vector in what a link carries: TCP with time stamps in frames of Ethernet
_FILE = Path(__file__).with_name("measured.json")  # what `benchmarks.cost.measure` found last; docs/measurements


def measured(path: Path = _FILE) -> Mapping[str, Any]:
    """What `benchmarks.cost.measure --json` wrote."""
    return json.loads(path.read_text())


def here(found: Mapping[str, Any], bytes_per_s: float = math.inf) -> Host:
    """This machine, all workers on its cores; bytes_per_s: of the links between them."""
    if math.isinf(bytes_per_s):
        link = Link(found["hop_s"], found["message_s"], found["byte_s"])
    else:
        hop, message, byte = (found.get(f"packet_{name}", found[name]) for name in ("hop_s", "message_s", "byte_s"))
        link = Link(hop, message, byte, bytes_per_s * _PAYLOAD)
    own = {name: found[name] for name in ("cores", "crowding", "queue_s", "handled_byte_s")}
    return Host("this machine", link, **own)


def h100(found: Mapping[str, Any]) -> Host:
    """Hosts with eight H100, whose own memories speak by TensorFlow's gRPC, on cores like this machine's."""
    return dataclasses.replace(H100, words=here(found, _ADAPTER).between)


def apart(found: Mapping[str, Any], bytes_per_s: float) -> Host:
    """Hosts like a core of this machine each, over TensorFlow's gRPC; bytes_per_s: of the links between them."""
    one = here(found, bytes_per_s)
    name = f"1 core, gRPC, {bytes_per_s * 8 / 1e9:g} Gbit/s a worker"
    return dataclasses.replace(one, name=name, cores=math.inf, crowding=1.0)


def around(found: Mapping[str, Any]) -> Around:
    """The work between steps, as this machine does it."""
    known = {field.name for field in dataclasses.fields(Around)}
    return Around(**{name: value for name, value in found.items() if name in known})
