"""Time to the classic accuracy, by the classic recipe and by ours: python -m benchmarks.recipes [--source=idx:DIR].

Whole runs of configs/mnist_deep.flags and of configs/mnist_fast.flags, one after another, the long one in the middle.
A time is that of training from its first call on, saving included, evaluation and the first call left out.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import describe
from benchmarks.tables import columns, spread

CONFIGS = Path(__file__).parent.parent / "configs"
CLASSIC, FAST = "mnist_deep", "mnist_fast"
LEFT_OUT = ("start", "evaluation")  # phases of pipeline.monitoring.clock


class Outcome(NamedTuple):
    """The figures of one whole run."""

    config: str
    seed: int
    test_accuracy: float
    training_s: float
    images_per_second: float


def runs(seeds: int) -> list[tuple[str, int]]:
    """Config and seed of every run, in order."""
    fast = [(FAST, seed) for seed in range(1, seeds + 1)]
    return [*fast[: seeds // 2], (CLASSIC, 1), *fast[seeds // 2 :]]


def train(config: str, seed: int, changes: Mapping[str, Any]) -> Outcome:
    """Trains from step 0 to the end, with these flags in place of the file's. Ends this process if training fails."""
    with tempfile.TemporaryDirectory() as run_dir:
        flags = {"flagfile": CONFIGS / f"{config}.flags", "run_dir": run_dir, "seed": seed, "quiet": "true", **changes}
        command = [sys.executable, "-m", "pipeline.train", *(f"--{name}={value}" for name, value in flags.items())]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        sys.exit(ended.returncode)
    return outcome(config, seed, json.loads(ended.stdout.splitlines()[-1]))


def outcome(config: str, seed: int, result: dict) -> Outcome:
    """The figures in the run's result line."""
    training_s = result["wall_seconds"] - sum(result["seconds"][phase] for phase in LEFT_OUT)
    return Outcome(config, seed, result["test_accuracy"], training_s, result["images_per_second"])


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each config, and the ratio of the classic recipe's time to ours."""
    rows, seconds = [], {}
    for config in (CLASSIC, FAST):
        own = [outcome for outcome in outcomes if outcome.config == config]
        accuracies = [100 * outcome.test_accuracy for outcome in own]
        times = [outcome.training_s for outcome in own]
        seconds[config] = statistics.median(times)
        rows.append([config, str(len(own)), f"{statistics.mean(accuracies):.3f}", spread(accuracies), spread(times)])
    header = ["config", "seeds", "test accuracy, %: mean", "median (least - most)", "s of training (least - most)"]
    return f"{columns(header, rows)}\n{CLASSIC} takes {seconds[CLASSIC] / seconds[FAST]:.1f} times as long"


def write(options: argparse.Namespace, outcomes: Sequence[Outcome]) -> None:
    """Writes the figures, where they are asked for."""
    if options.json:
        figures = describe(options) | {"outcomes": [outcome._asdict() for outcome in outcomes]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def main() -> None:
    """Trains, prints the table and writes the figures."""
    parser = argparse.ArgumentParser("python -m benchmarks.recipes", description=__doc__.split(":")[0])
    parser.add_argument("--source", default="mnist", help="as the pipeline's flag (default: mnist)")
    parser.add_argument("--seeds", type=int, default=10, help="runs of the fast recipe (default: 10)")
    parser.add_argument("--steps", type=int, default=0, help="of all runs, to try this out (default: their own)")
    parser.add_argument("--json", type=Path, help="a file for every single figure")
    options = parser.parse_args()
    outcomes, changes = [], {"source": options.source} | ({"steps": options.steps} if options.steps else {})
    for config, seed in runs(options.seeds):
        outcomes.append(train(config, seed, changes))
        print(f"{config}, seed {seed}: {outcomes[-1].test_accuracy:.2%}", file=sys.stderr)
    print(table(outcomes))
    write(options, outcomes)


if __name__ == "__main__":
    main()
