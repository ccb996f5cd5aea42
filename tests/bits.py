"""The claim about bits, in real processes, as a table: python -m tests.bits --source=idx:DIR

`convolutional` with dropout and Adam, batch 256 in 8 shards: 60 steps must end with the same parameters_sha256 on 1, 2,
4 and 8 towers, with the variables replicated, on the CPU and on the first tower, on 2 workers with 2 towers each and
4 with 1, and after 10 kills (SIGKILL) at random moments with another number of towers at every restart. Ends with 0 if
they do. DIR holds the four MNIST files.

With --configs: the parameters_sha256 of the first 30 steps of every configuration instead, to be compared with those of
another version on the same machine. --shapes names a folder that `python -m benchmarks.shapes` made.
"""

import argparse
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.runs.run_directory import RunDirectory

TOWERS, MODES = (1, 2, 4, 8), ("replicated", "cpu", "first")
WORKERS = {2: 2, 4: 1}  # and towers of each
FLAGS = (
    *("--model=convolutional", "--optimizer=adam", "--learning_rate=1e-4", "--global_batch=256", "--grad_shards=8"),
    *("--log_every=1", "--checkpoint_every=5", "--eval_every=0", "--keep_checkpoints=2"),
)
CONFIGS = Path(__file__).parent.parent / "configs"
# So that all of a schedule lies within the first 30 steps.
SHORTENED = {
    "mnist_fast": ("--warmup_steps=5",),
    "mnist_best": (*("--average=10:25", "--augment_steps=28", "--piecewise=5:0.03,20:0.01,28:0", "--warmup_steps=3"),),
    "shapes": ("--warmup_steps=5",),
    "cifar10_fast": ("--warmup_steps=5", "--global_batch=32"),
    "cifar10_best": ("--warmup_steps=5", "--global_batch=32"),
}
FORMAT = "{:<44} {:>7}  {}"


def command(run_dir: Path, *flags) -> list[str]:
    return [sys.executable, "-m", "pipeline.train", *FLAGS, f"--run_dir={run_dir}", *map(str, flags)]


def train(run_dir: Path, *flags) -> str:
    """Trains to the end; the parameters_sha256 in the result."""
    ended = subprocess.run(command(run_dir, *flags), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])["parameters_sha256"]


def logged(run_dir: Path) -> int:
    """The last step that was logged."""
    return max((e["step"] for e in RunDirectory(run_dir).history().events if e["event"] == "train"), default=0)


def kill(run_dir: Path, step: int, delay_s: float, *flags) -> str:
    """Starts the training and kills it `delay_s` after `step` is logged (0: after its start); says when it was."""
    process = subprocess.Popen(command(run_dir, *flags), stdout=subprocess.DEVNULL)
    while step and logged(run_dir) < step and process.poll() is None:
        time.sleep(0.01)
    time.sleep(delay_s)
    process.kill()
    if process.wait() != -signal.SIGKILL:
        raise SystemExit("the run ended before the kill: give it more --steps, or fewer --kills")
    saving = any(run_dir.glob("checkpoints/.writing-*"))
    return f"killed, step {logged(run_dir)} logged last" + (", a checkpoint half written" if saving else "")


def moment(reached: int, steps: int, kills_left: int, draws: random.Random) -> tuple[int, float]:
    """The next step to kill after, and how long after it: every third time while it starts up."""
    if draws.random() < 1 / 3:
        return 0, draws.uniform(0, 5)
    return reached + draws.randint(1, max(1, (steps - reached) // (kills_left + 1))), draws.uniform(0, 0.1)


def row(what: str, started: float, result: str) -> None:
    print(FORMAT.format(what, f"{time.monotonic() - started:.1f}", result), flush=True)


def straight_runs(directory: Path, *flags) -> set[str]:
    """A row and a run for every number of towers and home of the variables; the hashes they end with."""
    hashes = set()
    for towers, mode in itertools.product(TOWERS, MODES):
        started = time.monotonic()
        found = train(directory / f"{towers}-{mode}", f"--towers={towers}", f"--variables={mode}", *flags)
        row(f"{towers} towers, variables {mode}", started, found)
        hashes.add(found)
    return hashes


def runs_of_workers(directory: Path, *flags) -> set[str]:
    """A row and a run for every number of workers; the hashes they end with."""
    hashes = set()
    for workers, towers in WORKERS.items():
        started, run_dir = time.monotonic(), directory / f"{workers}-workers"
        train = command(run_dir, f"--towers={towers}", *flags)
        supervise = [*train[:2], "pipeline.supervise", *train[3:], f"--workers={workers}", "--quiet"]
        subprocess.run(supervise, stdout=subprocess.DEVNULL, check=True)
        result = RunDirectory(run_dir).history().result
        assert result is not None
        row(f"{workers} workers, {towers} towers each", started, result["parameters_sha256"])
        hashes.add(result["parameters_sha256"])
    return hashes


def killed_run(run_dir: Path, kills: int, steps: int, draws: random.Random, *flags) -> str:
    """A row for every kill, and one for the run that ends; its hash."""
    for number in range(1, kills + 1):
        towers, started = TOWERS[number % len(TOWERS)], time.monotonic()
        step, delay_s = moment(logged(run_dir), steps, kills - number, draws)
        row(f"kill {number}: {towers} towers", started, kill(run_dir, step, delay_s, f"--towers={towers}", *flags))
    started = time.monotonic()
    found = train(run_dir, f"--towers={TOWERS[(kills + 1) % len(TOWERS)]}", *flags)
    row(f"the same run, after {kills} kills", started, found)
    return found


def first_steps_of_configs(directory: Path, source: str, shapes: str) -> None:
    """A row for every configuration."""
    for config in sorted(CONFIGS.glob("*.flags")):
        if config.stem == "shapes" and not shapes:
            continue
        own = {"digits": "digits", "shapes": f"folder:{shapes}"}.get(config.stem, source)
        flags = (f"--flagfile={config}", f"--source={own}", *SHORTENED.get(config.stem, ()))
        brief = (
            "--steps=30",
            "--eval_every=0",
            "--intra_op_threads=2",
            "--quiet",
            f"--run_dir={directory / config.stem}",
        )
        started = time.monotonic()
        trained = [sys.executable, "-m", "pipeline.train", *flags, *brief]
        ended = subprocess.run(trained, stdout=subprocess.PIPE, text=True, check=True)
        row(config.stem, started, json.loads(ended.stdout.splitlines()[-1])["parameters_sha256"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="digits", help="as pipeline.train takes it: idx:DIR for real MNIST")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--configs", action="store_true", help="only the first steps of every configuration")
    parser.add_argument("--shapes", default="", help="with --configs: a folder of drawn shapes")
    asked = parser.parse_args()
    flags = (f"--source={asked.source}", f"--steps={asked.steps}")
    print(FORMAT.format("run", "seconds", "parameters_sha256"))
    with tempfile.TemporaryDirectory() as directory:
        if asked.configs:
            first_steps_of_configs(Path(directory), asked.source, asked.shapes)
            return
        hashes = straight_runs(Path(directory), *flags)
        hashes |= runs_of_workers(Path(directory), *flags)
        draws = random.Random(asked.seed)
        hashes.add(killed_run(Path(directory) / "killed", asked.kills, asked.steps, draws, *flags))
    print("all equal" if len(hashes) == 1 else f"{len(hashes)} different results")
    sys.exit(len(hashes) != 1)


if __name__ == "__main__":
    main()
