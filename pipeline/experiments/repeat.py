"""--repeat: the same training with several seeds, and their mean and deviation."""

import json

from pipeline.config import Config
from pipeline.errors import DivergedError
from pipeline.experiments import grid, results, runner
from pipeline.experiments.results import Standing
from pipeline.process.preemption import Preemption
from pipeline.runs.chronicle import FINISHED
from pipeline.text.numbers import accuracy, number

SUMMARY = (("validation_accuracy", accuracy), ("test_accuracy", accuracy), ("test_loss", number))


def run(asked: Config, preemption: Preemption) -> None:
    """Makes the runs, prints their table, and as the last line their means and deviations as JSON.

    Raises DivergedError, after all that, if one diverged: the mean of the others is then none of the seeds asked for.
    """
    runs = grid.seeds(asked)
    runner.check(runs)
    if asked.dry_run:
        print(results.table([Standing.of(run) for run in runs]))
        return
    runner.go(runs, preemption)
    ended = [Standing.of(run) for run in runs]
    if not asked.quiet:
        _tell(ended)
    print(json.dumps(summary(ended)))
    if diverged := [standing.run for standing in ended if standing.status != FINISHED]:
        raise DivergedError(f"{', '.join(diverged)} of {len(ended)} runs; lower --learning_rate or set --clip_norm")


def _tell(ended: list[Standing]) -> None:
    """Prints the table, and means and deviations."""
    print(f"\n{results.table(ended)}\n")
    for name, form in SUMMARY:
        if spread := results.spread(ended, name):
            print(f"{name.replace('_', ' ')}: {spread.written(form)}")


def summary(ended: list[Standing]) -> dict:
    """The last line."""
    finished = [standing for standing in ended if standing.status == FINISHED]
    spreads = {name: spread and spread._asdict() for name, _ in SUMMARY for spread in [results.spread(ended, name)]}
    shas = {standing.seed: standing.parameters_sha256 for standing in finished}
    return {"event": "repeat", "runs": len(ended), "finished": len(finished), **spreads, "parameters_sha256": shas}
