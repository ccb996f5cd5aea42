"""The evaluations of an open run: the validation split on the way, the test split at the end."""

from pipeline.engine.tally import Tally
from pipeline.metrics import choosing
from pipeline.monitoring import gallery, history, scorecard
from pipeline.runs.run import Run
from pipeline.sources.base import Source


class Scorer:
    """Scores splits with the present parameters of a run, and remembers those on validation."""

    def __init__(self, run: Run):
        """Raises UsageError for a metric of --best_by or --early_stop that the examples do not have."""
        choosing.require_computed(run.config.judges, run.assembly.metrics)
        self._run = run
        self._evaluator = run.assembly.evaluator(run.trainer.towers, run.cluster.gather, run.config.ema > 0)
        self._validated = dict(run.start.validated)  # equal on all workers

    def is_validated(self, step: int) -> bool:
        """Whether the validation split was scored at this step."""
        return step in self._validated

    def go_back(self, step: int) -> None:
        """Forgets the metrics of later steps."""
        self._validated = {scored: metrics for scored, metrics in self._validated.items() if scored <= step}

    def validate(self, step: int) -> bool | None:
        """Scores the validation split and reports it. Returns whether its score is the run's best.

        None if a worker was asked to stop meanwhile: then nothing is reported, and all workers return None.
        """
        tally = self.tally("validation", step)
        if tally is None:
            return None
        self._validated[step] = history.finite(tally.values)
        self.report("validation", step, tally)
        judges = dict.fromkeys((choosing.ACCURACY, choosing.LOSS, *self._run.config.judges.values()))
        told = ", ".join(scorecard.told(metric, tally.values[metric]) for metric in judges)
        self._run.journal.progress(f"step {step}: validation {told}")
        return self._best(self._run.config.best_by) == step

    def ends_early(self) -> bool:
        """Whether --early_stop ends the run: it depends on the scores until now alone."""
        rule = self._run.config.stop_rule
        best = rule and self._best(rule.metric)
        if rule is None or best is None:
            return False
        return sum(step > best and rule.metric in metrics for step, metrics in self._validated.items()) >= rule.patience

    def _best(self, metric: str) -> int | None:
        """The step of the best score until now, the first of equals."""
        known = {step: metrics[metric] for step, metrics in self._validated.items() if metric in metrics}
        return history.best_step(known, metric)

    def tally(self, split: str, step: int) -> Tally | None:
        """The tally of a split; None, on all workers, if one of them was asked to stop meanwhile."""
        run = self._run
        with run.phase("evaluation", step):
            return self._evaluator.tally(self._examples(split), lambda: run.stop.requested)

    def _examples(self, split: str) -> Source:
        assembly = self._run.assembly
        return assembly.evaluated(split) if split == "test" else assembly.evaluated_often(split)

    def report(self, split: str, step: int, tally: Tally) -> None:
        """Shows a tally in TensorBoard, then writes its line to metrics.jsonl, which completes the report."""
        run = self._run
        if not run.is_chief:
            return
        with run.trainer.towers.on_host():
            gallery.show_tally(run.journal, split, step, tally, self._examples(split))
        run.journal.scalars(split, step, tally.values)
