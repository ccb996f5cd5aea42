"""--repeat: one training with several seeds, and the mean and deviation of its results."""

import json
from collections.abc import Callable
from typing import Any

from pipeline.config import Config
from pipeline.errors import DivergedError
from pipeline.experiments import grid, results, runner
from pipeline.experiments.results import RunResult
from pipeline.monitoring.history import FINISHED
from pipeline.process.preemption import Preemption
from pipeline.text.numbers import accuracy, number

SUMMARY = (("validation_accuracy", accuracy), ("test_accuracy", accuracy), ("test_loss", number))


def run(asked: Config, preemption: Preemption) -> None:
    """Makes the runs. Prints their table, and as the last line their means and deviations as JSON.

    Raises DivergedError, after all that, if a run diverged: the means are then not over all seeds.
    """
    runs = grid.seeds(asked)
    runner.check(runs)
    if asked.dry_run:
        print(results.table([RunResult.read(run) for run in runs]))
        return
    runner.run_all(runs, preemption)
    ended = [RunResult.read(run) for run in runs]
    if not asked.quiet:
        _print_table(ended)
    print(json.dumps(summary(ended)))
    if diverged := [result.run for result in ended if result.status != FINISHED]:
        raise DivergedError(f"{', '.join(diverged)} of {len(ended)} runs; lower --learning_rate or set --clip_norm")


def _print_table(ended: list[RunResult]) -> None:
    """Prints the table of the runs, and their means and deviations."""
    print(f"\n{results.table(ended)}\n")
    for name, form in _summed(ended):
        if spread := results.spread(ended, name):
            print(f"{name.replace('_', ' ')}: {spread.text(form)}")


def _summed(ended: list[RunResult]) -> list[tuple[str, Callable[[float], str]]]:
    """The results that are summed up, with the form of each: those of SUMMARY, and the metrics on test."""
    metrics = dict.fromkeys(name for result in ended for name in result.metrics if name.startswith("test_"))
    return [*SUMMARY, *((name, accuracy) for name in metrics)]


def summary(ended: list[RunResult]) -> dict[str, Any]:
    """The values of the last line: counts, means and deviations, and each seed's parameters_sha256."""
    finished = [result for result in ended if result.status == FINISHED]
    spreads = {
        name: spread and spread._asdict() for name, _ in _summed(ended) for spread in [results.spread(ended, name)]
    }
    shas = {result.seed: result.parameters_sha256 for result in finished}
    return {"event": "repeat", "runs": len(ended), "finished": len(finished), **spreads, "parameters_sha256": shas}
