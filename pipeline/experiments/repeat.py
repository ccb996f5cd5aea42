"""--repeat: the same training with several seeds, and their mean and deviation."""

import json

from pipeline.config import Config
from pipeline.errors import DivergedError
from pipeline.experiments import grid, results, runner
from pipeline.experiments.results import RunResult
from pipeline.monitoring.history import FINISHED
from pipeline.process.preemption import Preemption
from pipeline.text.numbers import accuracy, number

SUMMARY = (("validation_accuracy", accuracy), ("test_accuracy", accuracy), ("test_loss", number))


def run(asked: Config, preemption: Preemption) -> None:
    """Makes the runs, prints their table, and as the last line their means and deviations as JSON.

    Raises DivergedError, after all that, if one diverged: the mean of the others is then none of the seeds asked for.
    """
    runs = grid.seeds(asked)
    runner.check(runs)
    if asked.dry_run:
        print(results.table([RunResult.of(run) for run in runs]))
        return
    runner.go(runs, preemption)
    ended = [RunResult.of(run) for run in runs]
    if not asked.quiet:
        _tell(ended)
    print(json.dumps(summary(ended)))
    if diverged := [result.run for result in ended if result.status != FINISHED]:
        raise DivergedError(f"{', '.join(diverged)} of {len(ended)} runs; lower --learning_rate or set --clip_norm")


def _tell(ended: list[RunResult]) -> None:
    """Prints the table, and means and deviations."""
    print(f"\n{results.table(ended)}\n")
    for name, form in SUMMARY:
        if spread := results.spread(ended, name):
            print(f"{name.replace('_', ' ')}: {spread.written(form)}")


def summary(ended: list[RunResult]) -> dict:
    """The last line."""
    finished = [result for result in ended if result.status == FINISHED]
    spreads = {name: spread and spread._asdict() for name, _ in SUMMARY for spread in [results.spread(ended, name)]}
    shas = {result.seed: result.parameters_sha256 for result in finished}
    return {"event": "repeat", "runs": len(ended), "finished": len(finished), **spreads, "parameters_sha256": shas}
