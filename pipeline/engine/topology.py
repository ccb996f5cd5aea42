"""The workers and towers of a job, and the shards of each tower."""

import dataclasses

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.text.addresses import host_and_port
from pipeline.text.flag_values import Device


@dataclasses.dataclass(frozen=True)
class Workers:
    """The workers of a job, in the order of their indices, and the index of this process among them."""

    addresses: tuple[str, ...] = ()  # HOST:PORT of each; () for one worker that needs no network
    index: int = 0
    candidates: tuple[str, ...] = ()  # of a job that may shrink and grow: the addresses of all that may be workers
    learned: bool = False  # nobody named the others' addresses: the run directory has them. '' is not known yet

    @property
    def count(self) -> int:
        """The number of workers."""
        return max(len(self.addresses), 1)

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the chief, which writes the run directory."""
        return self.index == 0

    @property
    def on_this_host(self) -> tuple[int, ...]:
        """The indices of the workers on this host, this one among them."""
        if self.learned:  # a scheduler gives each what is its own
            return (self.index,)
        hosts = [host_and_port(address)[0] for address in self.addresses]
        return tuple(k for k, host in enumerate(hosts) if host == hosts[self.index]) or (self.index,)

    def name(self, index: int) -> str:
        """A worker's name in an error line."""
        return f"worker {index} ({self.addresses[index] or 'not started yet'})"


ALONE = Workers()


@dataclasses.dataclass(frozen=True)
class Topology:
    """The workers of a job, and the towers of this worker: their devices, in the order of their shards.

    All workers have the same number of towers.
    """

    towers: tuple[Device, ...]
    workers: Workers = ALONE

    @property
    def num_towers(self) -> int:
        """The number of this worker's towers."""
        return len(self.towers)

    @property
    def total_towers(self) -> int:
        """The number of all workers' towers."""
        return len(self.towers) * self.workers.count

    @property
    def task(self) -> str:
        """The part of a full device name that names this worker."""
        job = "worker" if self.workers.count > 1 else "localhost"
        return f"/job:{job}/replica:0/task:{self.workers.index}"

    @property
    def devices(self) -> tuple[str, ...]:
        """The full device name of each tower."""
        return tuple(f"{self.task}/device:{kind}:{index}" for kind, index in self.towers)

    def on_cpu(self, tower: int) -> bool:
        """Whether a tower is a CPU device, and so shares the host's memory."""
        return self.towers[tower][0] == "CPU"

    @property
    def all_on_cpu(self) -> bool:
        """Whether every tower is a CPU device."""
        return all(map(self.on_cpu, range(self.num_towers)))

    def is_exact(self, config: Config) -> bool:
        """Whether a configuration has the same bits every time, on any number of towers and workers."""
        return (config.deterministic or self.all_on_cpu) and (config.all_reduce == "exact" or self.workers.count == 1)

    @property
    def host(self) -> str:
        """The full name of the host's device, for operations of no tower."""
        return f"{self.task}/device:CPU:0"

    @property
    def num_cpu_devices(self) -> int:
        """The number of logical CPU devices that the towers need; at least one, the host's."""
        return max((index + 1 for kind, index in self.towers if kind == "CPU"), default=1)

    def rank(self, tower: int) -> int:
        """A tower's number among those of all workers."""
        return self.workers.index * self.num_towers + tower

    def shards_of(self, tower: int, grad_shards: int) -> range:
        """The consecutive shards that a tower computes."""
        each = grad_shards // self.total_towers
        return range(self.rank(tower) * each, (self.rank(tower) + 1) * each)

    def check_shards(self, grad_shards: int, all_reduce: str = "exact") -> None:
        """Raises UsageError, naming counts that fit, if the shards do not split over the towers of all workers.

        The exact all-reduce adds the sums of whole workers. These sums must be nodes of the one tree over the shards:
        with several workers, each must have a power of two of shards.
        """
        if grad_shards % self.total_towers:
            raise UsageError(
                f"{grad_shards} shards do not split over {self._described()}; use {self._fits(grad_shards, all_reduce)}"
                ", or another --grad_shards (which a resume takes only with --reshard)"
            )
        worker_shards = grad_shards // self.workers.count
        if all_reduce == "exact" and self.workers.count > 1 and worker_shards & (worker_shards - 1):
            fits = _listed(self.fitting_counts(grad_shards, all_reduce))
            raise UsageError(
                f"{grad_shards} shards over {self.workers.count} workers are {worker_shards} a worker; the exact "
                f"all-reduce needs a power of two; use {fits} workers, or --all_reduce=fast"
            )

    def fitting_counts(self, grad_shards: int, all_reduce: str = "exact") -> list[int]:
        """The numbers of workers, each with as many towers as this one, that `check_shards` accepts; rising."""
        divisors = _divisors(grad_shards // self.num_towers) if grad_shards % self.num_towers == 0 else []
        is_power = {n: (grad_shards // n) & (grad_shards // n - 1) == 0 for n in divisors}
        return [n for n in divisors if n == 1 or all_reduce != "exact" or is_power[n]]

    def _fits(self, grad_shards: int, all_reduce: str) -> str:
        """What the shards split over: other numbers of workers, or where there are none, of towers on one worker."""
        counts = self.fitting_counts(grad_shards, all_reduce) if self.workers.count > 1 else []
        return f"{_listed(counts)} workers" if counts else f"{_listed(_divisors(grad_shards))} towers"

    def _described(self) -> str:
        if self.workers.count == 1:
            return f"{self.num_towers} towers"
        return f"{self.total_towers} towers ({self.workers.count} workers with {self.num_towers} each)"


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def from_config(config: Config, num_gpus: int, workers: Workers = ALONE) -> Topology:
    """The topology that a configuration asks for on a machine with `num_gpus` visible GPUs, which may be split.

    Raises UsageError for a device that does not exist, or for more towers than GPUs. CPU towers are logical devices, of
    which there can be any number.
    """
    num_gpus *= config.logical_gpus or 1
    kind = "GPU" if num_gpus else "CPU"
    named = config.devices or tuple(Device(kind, index) for index in range(config.towers or num_gpus or 1))
    gpus = sorted(index for kind, index in named if kind == "GPU")
    if gpus and gpus[-1] >= num_gpus:
        asked = f"tower_devices={config.tower_devices}" if config.tower_devices else f"towers={config.towers}"
        visible = f"the visible ones are gpu:0 to gpu:{num_gpus - 1}" if num_gpus else "no GPU is visible"
        raise UsageError(f"{asked} needs gpu:{gpus[-1]}, but {visible}; ask for others, as --tower_devices=cpu:0,cpu:1")
    if config.tower_devices and config.towers not in (0, len(named)):
        raise UsageError(f"towers={config.towers} but tower_devices names {len(named)}; give one of the two")
    return Topology(named, workers)
