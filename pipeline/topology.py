"""Which towers there are, and which shards are whose."""

import dataclasses

from pipeline.config import Config, parse_tower_devices
from pipeline.exits import UsageError


@dataclasses.dataclass(frozen=True)
class Topology:
    """The towers of a run: device kind and index of each, in the order of their shards."""

    towers: tuple[tuple[str, int], ...]  # (("GPU", 0), ("GPU", 1))

    @property
    def num_towers(self) -> int:
        """Towers of this worker."""
        return len(self.towers)

    @property
    def devices(self) -> tuple[str, ...]:
        """Full device name of each tower."""
        return tuple(f"/job:localhost/replica:0/task:0/device:{kind}:{index}" for kind, index in self.towers)

    def on_cpu(self, tower: int) -> bool:
        """Whether a tower is one of the host's processors, and so shares its memory."""
        return self.towers[tower][0] == "CPU"

    @property
    def host(self) -> str:
        """Full name of the device for what belongs to no tower."""
        return "/job:localhost/replica:0/task:0/device:CPU:0"

    @property
    def num_cpu_devices(self) -> int:
        """Logical CPU devices that the towers need (at least one: the host's)."""
        return max((index + 1 for kind, index in self.towers if kind == "CPU"), default=1)

    def shards_of(self, tower: int, grad_shards: int) -> range:
        """The consecutive shards that a tower computes."""
        each = grad_shards // self.num_towers
        return range(tower * each, (tower + 1) * each)

    def check_shards(self, grad_shards: int) -> None:
        """Raises UsageError, naming the tower counts that fit, if the shards do not split over the towers."""
        if grad_shards % self.num_towers:
            fits = [str(n) for n in range(1, grad_shards + 1) if grad_shards % n == 0]
            raise UsageError(
                f"{grad_shards} shards do not split over {self.num_towers} towers; use {', '.join(fits)} towers, "
                "or another --grad_shards (which a resume takes only with --reshard)"
            )


def of(config: Config, num_gpus: int) -> Topology:
    """The topology that a configuration asks for on a machine with `num_gpus` visible GPUs.

    Raises UsageError for a device that does not exist or more towers than GPUs. CPU towers are logical
    devices, so that any number of them exists.
    """
    named = parse_tower_devices(config.tower_devices)
    if not named:
        kind = "GPU" if num_gpus else "CPU"
        named = [(kind, index) for index in range(config.towers or num_gpus or 1)]
    gpus = sorted(index for kind, index in named if kind == "GPU")
    if gpus and gpus[-1] >= num_gpus:
        asked = f"tower_devices={config.tower_devices}" if config.tower_devices else f"towers={config.towers}"
        there = f"the visible ones are gpu:0 to gpu:{num_gpus - 1}" if num_gpus else "no GPU is visible"
        raise UsageError(f"{asked} needs gpu:{gpus[-1]}, but {there}; ask for others, as --tower_devices=cpu:0,cpu:1")
    if config.tower_devices and config.towers not in (0, len(named)):
        raise UsageError(f"towers={config.towers} but tower_devices names {len(named)}; give one of the two")
    return Topology(tuple(named))
