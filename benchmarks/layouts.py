"""Whole runs of several workers on this machine, each worker with its share of the cores."""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.machine import gpus
from benchmarks.task import STEPS_PER_CALL, Task
from pipeline.workers import ports
from tests.support.cluster.hosts import hosts

OURS, FAST, MULTI_WORKER_MIRRORED = "ours", "ours, fast", "MultiWorkerMirroredStrategy"
ALL_REDUCE = {OURS: "exact", FAST: "fast"}
UNLIMITED = "unlimited"
PHASES = ("compute", "reduction", "input")  # of pipeline.monitoring.clock


class Outcome(NamedTuple):
    """The figures of one whole run, without its first call."""

    images_per_s: float
    seconds: dict[str, float]  # by PHASES, where the program accounts for them


@dataclasses.dataclass(frozen=True)
class Layout:
    """A number of workers, and the number of cores of each."""

    program: str  # OURS, FAST or MULTI_WORKER_MIRRORED
    num_workers: int
    worker_cores: int
    global_batch: int

    @property
    def cores(self) -> int:
        """The number of cores of all workers, which share some where there are too few."""
        return min(self.num_workers * self.worker_cores, len(os.sched_getaffinity(0)))

    @property
    def worker_batch(self) -> int:
        """The examples of a worker in a step."""
        return self.global_batch // self.num_workers

    @property
    def described(self) -> str:
        """The text in the table."""
        return f"{self.num_workers} worker{'s' * (self.num_workers > 1)} x {self.worker_cores}"

    def run(self, options: argparse.Namespace) -> Outcome:
        """Trains from step 0 to options.steps, and ends all workers."""
        program = _multi_worker_mirrored if self.program == MULTI_WORKER_MIRRORED else _ours
        with placed(self.num_workers, options.link) as places:
            return program(self, options, places)


class Place(NamedTuple):
    """Where a worker runs."""

    address: str  # HOST:PORT
    before: Sequence[str] = ()  # what stands before its command


@contextlib.contextmanager
def placed(count: int, link: str) -> Iterator[Sequence[Place]]:
    """A place for each worker: all on the loopback, or each on a host of its own behind a link of this rate.

    link: as `benchmarks.scaling --link` takes it; UNLIMITED for a link that nothing slows.
    """
    if count == 1 or not link:
        yield [Place(address) for address in addresses(count)]
        return
    [port] = ports.free(1)
    with hosts(count) as network:
        if link != UNLIMITED:
            network.limit(link)
        yield [Place(f"{address}:{port}", network[k]) for k, address in enumerate(network.addresses)]


def _ours(layout: Layout, options: argparse.Namespace, places: Sequence[Place]) -> Outcome:
    with tempfile.TemporaryDirectory() as run_dir:
        # fmt: off
        flags = {
            "run_dir": run_dir, "source": options.source, "data_dir": options.data_dir, "precision": options.precision,
            "model": "convolutional", "global_batch": layout.global_batch, "steps": options.steps, "towers": 1,
            "intra_op_threads": layout.worker_cores, "steps_per_loop": STEPS_PER_CALL, "wire": options.wire,
            "all_reduce": ALL_REDUCE[layout.program], "log_every": 0, "eval_every": 0, "checkpoint_every": 0,
            "quiet": "true"}
        # fmt: on
        train = [sys.executable, "-m", "pipeline.train", *(f"--{name}={value}" for name, value in flags.items())]
        named = f"--worker_addresses={','.join(place.address for place in places)}"
        own = [[named, f"--worker_index={k}"] if len(places) > 1 else [] for k in range(len(places))]
        commands = [[*place.before, *train, *flags_of_one] for place, flags_of_one in zip(places, own, strict=True)]
        result = chiefs_last_line(commands, cores_of(layout.worker_cores, len(places)), [{}] * len(places), stdin="")
    return Outcome(result["images_per_second"], {phase: result["seconds"][phase] for phase in PHASES})


def _multi_worker_mirrored(layout: Layout, options: argparse.Namespace, places: Sequence[Place]) -> Outcome:
    calls = max(1, options.steps // STEPS_PER_CALL - 1)  # ours leaves its first one out
    task = Task(
        "mirrored:multi_worker",
        layout.global_batch,
        calls * STEPS_PER_CALL,
        precision=options.precision,
        source=options.source,
        data_dir=options.data_dir,
    )
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(dataclasses.asdict(task))]
    cluster = {"worker": [place.address for place in places]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": k}} for k in range(len(places))]
    environments = [{"TF_CONFIG": json.dumps(one)} for one in tasks]
    commands = [[*place.before, *command] for place in places]
    cores = cores_of(layout.worker_cores, len(places))
    result = chiefs_last_line(commands, cores, environments, stdin="\n")  # one round after the warm-up
    if "unavailable" in result:
        sys.exit(f"MultiWorkerMirroredStrategy: {result['unavailable']}")
    return Outcome(task.images_per_second(result["seconds"]), {})


def addresses(count: int) -> list[str]:
    """Free ones on the loopback."""
    return [f"{ports.LOOPBACK}:{port}" for port in ports.free(count)]


def chiefs_last_line(
    commands: Sequence[Sequence[str]],
    cores: Sequence[Sequence[int]],
    environments: Sequence[dict[str, str]],
    stdin: str,
) -> dict:
    """The last line of the first worker, from JSON; each has its cores. Ends the process if a worker fails."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_started(*one)) for one in zip(commands, cores, environments, strict=True)]
        for process in processes:
            assert process.stdin
            process.stdin.write(stdin)
            process.stdin.close()
        said = [process.stdout.read() for process in processes if process.stdout]
        if any([process.wait() for process in processes]):
            sys.exit(f"a worker of {len(commands)} failed; what it said is above")
    return json.loads(said[0].splitlines()[-1])


@contextlib.contextmanager
def _started(command: Sequence[str], cores: Sequence[int], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """Starts the command on these cores only, and on an equal share of the GPUs. The process is killed at the end."""
    bound = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
    environment = os.environ | _gpus_beside(cores) | environment
    process = subprocess.Popen(bound, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def cores_of(worker_cores: int, count: int) -> list[list[int]]:
    """The cores of each worker; where there are too few, workers share them."""
    cores = sorted(os.sched_getaffinity(0))
    shares = [cores[start : start + worker_cores] for start in range(0, len(cores), worker_cores)]
    return list(itertools.islice(itertools.cycle(shares), count))


def _gpus_beside(cores: Sequence[int]) -> dict[str, str]:
    """The GPUs of a worker, by the numbers of its cores; none where there are more workers than GPUs."""
    everything, all_gpus = sorted(os.sched_getaffinity(0)), range(len(gpus()))
    each = len(all_gpus) * len(cores) // len(everything)
    first = everything.index(cores[0]) // len(cores) * each
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, all_gpus[first : first + each])) or "-1"}
