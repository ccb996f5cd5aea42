"""Accuracy and speed of the fast recipe beside plain PyTorch's: python -m benchmarks.cifar10 --source=folder:DIR.

Whole runs of configs/cifar10_fast.flags and of the same network and recipe in PyTorch, in turn. A speed is that of the
steps after the first (ours: after the first call), without evaluation. benchmarks/peers_venv.sh makes PyTorch's
environment.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import peers_environment, peers_python
from benchmarks.recipes import CONFIGS, Outcome, train, write
from benchmarks.tables import columns, spread
from pipeline import config as configuration
from pipeline.config import Config

CONFIG, PYTORCH = "cifar10_fast", "PyTorch"
OF_DATA = ("source", "image_size", "validation_fraction")  # fields that say which pictures there are


def changed(options: argparse.Namespace) -> dict[str, Any]:
    """The flags that were given here."""
    return {"source": options.source} | ({"steps": options.steps} if options.steps else {})


def settings(changes: Mapping[str, Any]) -> Config:
    """The recipe, with these flags in place of its own."""
    lines = (CONFIGS / f"{CONFIG}.flags").read_text().splitlines()
    given = dict(line.removeprefix("--").split("=", 1) for line in lines if line.startswith("--"))
    own = {name: configuration.parse_value(name, value) for name, value in given.items()}
    return Config(**{**own, **changes})


def by_pytorch(config: Config, seed: int, file: Path) -> Outcome:
    """Trains in the peers' environment. Ends this process if that fails."""
    flags = json.dumps(dataclasses.asdict(config) | {"seed": seed})
    command = [str(peers_python()), "-m", "benchmarks.contenders.pytorch_recipe", str(file), flags]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=peers_environment())
    if ended.returncode:
        sys.exit(ended.returncode)
    return Outcome(PYTORCH, seed, **json.loads(ended.stdout.splitlines()[-1]))


def write_pictures(config: Config, file: Path) -> None:
    """Writes the pictures, in a process of its own that loads TensorFlow. Ends this one if that fails."""
    flags = [f"--{name}={getattr(config, name)}" for name in OF_DATA]
    ended = subprocess.run([sys.executable, "-m", "benchmarks.splits", str(file), *flags])
    if ended.returncode:
        sys.exit(ended.returncode)


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each program; the difference of their accuracies and the ratio of their speeds, seed by seed."""
    rows, own = [], {name: [o for o in outcomes if o.config == name] for name in (CONFIG, PYTORCH)}
    for name, ended in own.items():
        accuracies, speeds = [100 * o.test_accuracy for o in ended], [o.images_per_second for o in ended]
        rows.append([name, str(len(ended)), f"{statistics.mean(accuracies):.2f}", spread(accuracies), spread(speeds)])
    pairs = list(zip(own[CONFIG], own[PYTORCH], strict=True))
    points = statistics.mean(100 * (ours.test_accuracy - theirs.test_accuracy) for ours, theirs in pairs)
    ratio = statistics.median(ours.images_per_second / theirs.images_per_second for ours, theirs in pairs)
    header = ["program", "seeds", "test accuracy, %: mean", "median (least - most)", "images/s (least - most)"]
    return f"{columns(header, rows)}\n{points:+.2f} points beside {PYTORCH}, and {ratio:.2f} times as fast"


def main() -> None:
    """Trains, prints the table and writes the figures."""
    parser = argparse.ArgumentParser("python -m benchmarks.cifar10", description=__doc__.split(":")[0])
    parser.add_argument("--source", required=True, help="as the pipeline's flag")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each program (default: 3)")
    parser.add_argument("--first_seed", type=int, default=1, help="the others follow it (default: 1)")
    parser.add_argument("--steps", type=int, default=0, help="of all runs, to try this out (default: their own)")
    parser.add_argument("--json", type=Path, help="a file for every single figure")
    options = parser.parse_args()
    if not peers_python().exists():
        sys.exit(f"{peers_python()} is not there; run benchmarks/peers_venv.sh, which installs PyTorch")
    changes, outcomes = changed(options), []
    config = settings(changes)
    with tempfile.TemporaryDirectory() as directory:
        write_pictures(config, file := Path(directory, "pictures.npz"))
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            outcomes += [train(CONFIG, seed, changes), by_pytorch(config, seed, file)]
            print(f"seed {seed}: {', '.join(f'{o.test_accuracy:.2%}' for o in outcomes[-2:])}", file=sys.stderr)
    print(table(outcomes))
    write(options, outcomes)


if __name__ == "__main__":
    main()
