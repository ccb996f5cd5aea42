"""The jobs that the command tells of: a network on hosts of a kind, with so many examples a tower. PURE."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from benchmarks.cost import hosts
from benchmarks.cost.hosts import Around, Host
from benchmarks.cost.networks import CONVOLUTIONAL, RESNET50, Network
from benchmarks.cost.step import Program

WORKERS = tuple(1 << power for power in range(11))  # 1, 2, 4, ... 1,024
BETWEEN_CORES = 10e9 / 8  # bytes/s of the links between hosts of one core

# With --jit on an H200, in bfloat16, with batches of 256 and 512: docs/measurements/gpus.md.
RESNET50_IMAGES_PER_S, CONVOLUTIONAL_IMAGES_PER_S = 6063.0, 264_258.0
# Adam reads and writes 28 bytes for each parameter; an H100's memory has 3.35 TB/s by the same data sheet.
_UPDATED_BYTE_S = 28 / 3.35e12


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A job whose number of workers is open."""

    program: Program
    host: Host
    around: Around

    @property
    def name(self) -> str:
        """A title: the network, the hosts, the examples."""
        return f"{self.program.network.name}, {self.host.name}, {self.program.tower_batch} examples a tower"


SPEEDS = {RESNET50: RESNET50_IMAGES_PER_S, CONVOLUTIONAL: CONVOLUTIONAL_IMAGES_PER_S}  # of one GPU


def of_gpus(network: Network, tower_batch: int, found: Mapping[str, Any]) -> Scenario:
    """A network on hosts of eight H100; the work between steps as measured here, where it is a processor's."""
    program = Program(network, 1 / SPEEDS[network], network.elements * _UPDATED_BYTE_S, tower_batch)
    return Scenario(program, hosts.h100(found), hosts.around(found))


def scenarios(found: Mapping[str, Any]) -> list[Scenario]:
    """Those that the command tells of."""
    on_gpus = [of_gpus(RESNET50, 256, found), of_gpus(RESNET50, 32, found), of_gpus(CONVOLUTIONAL, 256, found)]
    return [*on_gpus, of_cores(512, found)]


def of_cores(tower_batch: int, found: Mapping[str, Any]) -> Scenario:
    """`convolutional` on hosts like a core of this machine, over TensorFlow's gRPC."""
    program = Program(CONVOLUTIONAL, found["example_s"], found["update_s"], tower_batch)
    return Scenario(program, hosts.apart(found, BETWEEN_CORES), hosts.around(found))
