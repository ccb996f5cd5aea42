"""The place where checks run: the device, the sizes that suit it, and trainings that several checks may share."""

import concurrent.futures
import dataclasses
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config import PRECISIONS, Config
from pipeline.workers import ports
from tests.gpu import processes
from tests.gpu.processes import Ended, Places

OK, WRONG, SKIPPED, NOT_BUILT, NO_TIME, SHOWN = "ok", "WRONG", "skipped", "not built", "no time", "shown"
FINE = (OK, SKIPPED, SHOWN)


class Row(NamedTuple):
    """A line of the table."""

    what: str
    seen: str
    verdict: str


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the checks' trainings are."""

    batch: int = 64
    steps: int = 30
    kill_steps: int = 600  # of the run that is killed: it must still be on its way
    image_size: int = 224  # of resnet50
    large_batch: int = 128  # of resnet50, where memory is measured
    shards: tuple[int, ...] = (1, 4, 8)  # of the same
    timed_batch: int = 512
    timed_steps: int = 1000
    timed_resnet_batch: int = 128
    timed_resnet_steps: int = 40
    timeout_s: float = 200


ON_GPU = Sizes()
ON_CPU = Sizes(
    **{
        "batch": 16,
        "steps": 6,
        "kill_steps": 200,
        "image_size": 32,
        "large_batch": 16,
        "timed_batch": 32,
        "shards": (1, 2),
    },
    **{"timed_steps": 40, "timed_resnet_batch": 4, "timed_resnet_steps": 12},
)


def is_built(name: str, value: Any) -> bool:
    """Whether this version of the pipeline takes a flag with this value."""
    return name in Config.__dataclass_fields__ and (name != "precision" or value in PRECISIONS)


def missing(**flags: Any) -> list[str]:
    """The flags that this version does not take yet, as --NAME=VALUE."""
    return processes.flags_of({name: value for name, value in flags.items() if not is_built(name, value)})


class Machine:
    """What all checks share: the device, a directory, the places for processes, and the trainings so far."""

    def __init__(self, on_gpu: bool, directory: Path, places: Places, mnist: str):
        self.on_gpu, self.directory, self.places, self.mnist = on_gpu, directory, places, mnist
        self.sizes = ON_GPU if on_gpu else ON_CPU
        self.threads = concurrent.futures.ThreadPoolExecutor(500)
        self.shared: dict[Any, Future[Ended]] = {}
        self.lock, self.number = threading.Lock(), itertools.count(1)


class Bench:
    """The machine as one check uses it. `ended` collects the check's processes."""

    def __init__(self, machine: Machine, rank: int):
        """rank: the check's own; the lowest one's processes run first."""
        self.machine, self.sizes, self.on_gpu = machine, machine.sizes, machine.on_gpu
        self._rank, self._followed = rank, []

    def run_dir(self) -> Path:
        """The path of a new run."""
        return self.machine.directory / f"run-{next(self.machine.number)}"

    def process(self, *words: str, need: int = 1, until: Callable[[], bool] | None = None, **changes) -> Future[Ended]:
        """Starts `python WORDS` as soon as there is a place for it. need: places, 0 for the whole machine.

        until, changes: as of `processes.run`.
        """
        future = self.machine.threads.submit(self._run, words, need, until, changes)
        self._followed.append(future)
        return future

    def _run(self, words: Sequence[str], need: int, until: Callable[[], bool] | None, changes: dict) -> Ended:
        with self.machine.places.taken(self._rank, need):
            hidden = {} if self.on_gpu else {"CUDA_VISIBLE_DEVICES": "-1"}
            return processes.run(words, self.sizes.timeout_s, until, **hidden | changes)

    def train(self, run_dir: Path | None = None, need: int = 1, until=None, changes=None, **flags) -> Future[Ended]:
        """Starts a training with these flags in place of the small one's."""
        words = processes.flags_of(self.small() | flags | {"run_dir": run_dir or self.run_dir()})
        return self.process("-m", "pipeline.train", *words, need=need, until=until, **changes or {})

    def trained(self, time: int = 1, **flags) -> Future[Ended]:
        """The same, shared by all checks that ask for these flags and the `time`-th run of them."""
        key = (time, tuple(sorted(flags.items())))
        with self.machine.lock:
            if key not in self.machine.shared:
                self.machine.shared[key] = self.train(**flags)
            self._followed.append(self.machine.shared[key])
            return self.machine.shared[key]

    def workers(self, count: int, **flags) -> Future[list[Ended]]:
        """Starts a job of `count` workers on the loopback, all at once."""
        addresses = ",".join(f"{ports.LOOPBACK}:{port}" for port in ports.free(count))
        place = {"worker_addresses": addresses, "run_dir": self.run_dir()}
        own = [processes.flags_of(self.small() | flags | place | {"worker_index": index}) for index in range(count)]
        return self.machine.threads.submit(self._run_together, [["-m", "pipeline.train", *words] for words in own])

    def _run_together(self, jobs: Sequence[Sequence[str]]) -> list[Ended]:
        hidden = {} if self.on_gpu else {"CUDA_VISIBLE_DEVICES": "-1"}
        with self.machine.places.taken(self._rank, len(jobs)):
            started = [
                self.machine.threads.submit(processes.run, words, self.sizes.timeout_s, None, **hidden)
                for words in jobs
            ]
            self._followed += started
            return [future.result() for future in started]

    def small(self) -> dict[str, Any]:
        """The flags of a small training."""
        return {
            **{"source": "fake:600", "model": "convolutional", "global_batch": self.sizes.batch, "grad_shards": 1},
            **{"steps": self.sizes.steps, "intra_op_threads": 2, "eval_every": 0, "checkpoint_every": 0},
            **{"log_every": 0, "eval_batch": 50, "start_timeout": 120},
        }

    def towers(self, count: int, of: int = 4) -> dict[str, Any]:
        """The flags for `count` towers on logical devices."""
        split = {"logical_gpus": of, "gpu_memory_mib": 1024} if self.on_gpu else {}
        return {"towers": count, **split}

    def records(self) -> list[dict]:
        """What the check's processes told, as far as they have ended."""
        ended = [future for future in self._followed if future.done() and not future.exception()]
        return [future.result().record() for future in ended]

    def finite(self, what: str, future: Future[Ended]) -> Row:
        """A row about a training that ends well with a finite loss."""
        ended = future.result()
        loss = ended.result.get("test_loss")
        fine = not ended.code and isinstance(loss, float) and math.isfinite(loss)
        seen = f"test loss {loss:.4f}, {ended.seconds:.0f} s" if isinstance(loss, float) else ended.trouble
        return Row(what, seen, judged(fine))

    def same(self, what: str, runs: dict[str, Future[Ended]]) -> Row:
        """A row about trainings that end on one hash."""
        hashes: dict[str, list[str]] = {}
        for name, future in runs.items():
            hashes.setdefault(future.result().sha256, []).append(name)
        if len(hashes) == 1 and not any(future.result().code for future in runs.values()):
            return Row(what, f"{len(runs)} runs, {next(iter(hashes))[:16]}", OK)
        parts = [
            f"{sha256[:12] if len(sha256) == 64 else sha256}: {', '.join(names)}" for sha256, names in hashes.items()
        ]
        return Row(what, f"{len(hashes)} different: {' | '.join(parts)}", WRONG)


def judged(fine: bool) -> str:
    """The verdict."""
    return OK if fine else WRONG
