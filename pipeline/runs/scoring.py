"""Evaluations on the way and at the end: the validation split, and the test split."""

from pipeline.engine.evaluation import Evaluator, Tally
from pipeline.monitoring import gallery
from pipeline.runs.run import Run


class Scorer:
    """Scores splits with the parameters of a run as they are; knows which steps were scored on validation."""

    def __init__(self, run: Run):
        self._run = run
        self._evaluator = Evaluator(
            run.assembly.model, run.trainer.towers, run.config.eval_batch, run.cluster.gather
        )
        self._validated = dict(run.start.validated)  # accuracy by step; the same on every worker

    def is_validated(self, step: int) -> bool:
        """Whether the validation split was scored at this step."""
        return step in self._validated

    def validate(self, step: int) -> bool | None:
        """Scores the validation split and tells it; whether that is the run's best accuracy.

        None if a worker was asked to stop meanwhile: then nothing is told, and all workers know.
        """
        tally = self.tally("validation", step)
        if tally is None:
            return None
        scores = tally.scores
        is_best = scores.accuracy > max(self._validated.values(), default=-1.0)
        self._validated[step] = scores.accuracy
        self.tell("validation", step, tally)
        self._run.journal.progress(f"step {step}: validation accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}")
        return is_best

    def tally(self, split: str, step: int) -> Tally | None:
        """The scores of a split; None if a worker was asked to stop meanwhile, which then all know."""
        run = self._run
        with run.phase("evaluation", step):
            return self._evaluator.tally(getattr(run.assembly.splits, split), lambda: run.stop.requested)

    def tell(self, split: str, step: int, tally: Tally) -> None:
        """Shows a tally, and last its line in metrics.jsonl: with the line, all of it is told."""
        run = self._run
        if not run.is_chief:
            return
        with run.trainer.towers.on_host():
            gallery.show_tally(run.journal, split, step, tally, getattr(run.assembly.splits, split))
        run.journal.scalars(split, step, {"loss": tally.scores.loss, "accuracy": tally.scores.accuracy})
