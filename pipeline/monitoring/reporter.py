"""A run's figures for people: progress after each call, a line every --log_every steps, a table at the end."""

from collections.abc import Mapping

from pipeline.config import Config
from pipeline.engine.outcome import Outcome
from pipeline.engine.tally import Tally
from pipeline.monitoring import scorecard
from pipeline.monitoring.clock import Clock
from pipeline.monitoring.journal import Journal
from pipeline.text import tables


class Reporter:
    """Writes the figures of a run to its journal and terminal."""

    def __init__(self, config: Config, journal: Journal, clock: Clock, restarts: int):
        self._config, self._journal, self._clock, self._restarts = config, journal, clock, restarts

    def show_progress(self, step: int, outcome: Outcome) -> None:
        """Moves the live line."""
        parts = [f"loss {float(outcome.loss):.3f}", f"accuracy {self._accuracy(outcome):.0%}"]
        if self._clock.images:
            parts.append(f"{self._clock.images_per_second():,.0f} images/s")
        if self._restarts:
            parts.append(f"restarts {self._restarts}")
        self._journal.terminal.move(step, self._config.steps, "  ".join(parts))

    def log(self, step: int, outcome: Outcome) -> None:
        """Reports a step's figures: a line in metrics.jsonl, points in TensorBoard, a line for people."""
        rate = self._clock.recent_images_per_second()
        values = {
            "loss": float(outcome.loss),
            "accuracy": self._accuracy(outcome),
            "learning_rate": float(outcome.learning_rate),
            "gradient_norm": float(outcome.gradient_norm),
            "images_per_second": rate,
        }
        shares = self._clock.recent_shares()
        self._journal.scalars("train", step, values)
        self._journal.points("train", step, {f"speed/time_{phase}": share for phase, share in shares.items()})
        self._journal.points("train", step, {"restarts": self._restarts})
        self._journal.terminal.milestone(
            f"step {step}/{self._config.steps} ({step / self._config.steps:.0%})  loss {values['loss']:.4f}  "
            f"accuracy {values['accuracy']:.1%}  {rate:,.0f} images/s"
        )
        self._journal.terminal.detail(
            f"  learning rate {values['learning_rate']:.3g}  gradient norm {values['gradient_norm']:.3g}  "
            + "  ".join(f"{phase} {share:.0%}" for phase, share in shares.items())
        )

    def ending(
        self, step: int, tally: Tally, peaks_mib: Mapping[str, int], where: Mapping[str, str], weighs: str = ""
    ) -> str:
        """The table at the end of a run.

        peaks_mib: of memory, by device. where: further rows, as its files' paths. weighs: whose weights the training's
        loss has, which the scores' has not.
        """
        history, metric = self._journal.history, self._config.best_by
        scores = history.validation(metric)
        best = history.best_step(scores, metric)
        told = scorecard.told(metric, scores[best]) if best else ""
        scored = tally.scores
        unweighted = f", without the weights of {weighs}" if weighs else ""
        rows = {
            "test accuracy": f"{scored.accuracy:.2%} ({tally.wrong:,} of {scored.examples:,} wrong)",
            "test loss": f"{scored.loss:.4f}{unweighted}",
            **scorecard.rows(tally),
            "best validation": f"{told.removeprefix('accuracy ')} at step {best}" if best else "never evaluated",
            "restarts": str(self._restarts),
            **self._rollbacks(),
            "time": self._time_split(),
            "speed": f"{self._clock.images_per_second():,.0f} images/s",
            "memory": ", ".join(f"{device} {mib:,} MiB" for device, mib in peaks_mib.items()) + " at the peak",
            **where,
        }
        return f"finished at step {step}\n{tables.pairs(rows)}"

    def _accuracy(self, outcome: Outcome) -> float:
        return int(outcome.correct) / self._config.global_batch

    def _rollbacks(self) -> dict[str, str]:
        """The row of the rollbacks, if there were any."""
        told = [f"from step {event['diverged']} to {event['step']}" for event in self._journal.history.rollbacks]
        return {"rollbacks": f"{len(told)} ({', '.join(told)})"} if told else {}

    def _time_split(self) -> str:
        """'41.2 s: compute 90.1%, reduction 0.0%, input 2.3%, ...'."""
        split = self._clock.split()
        total = sum(split.values())
        return f"{total:.1f} s: " + ", ".join(f"{phase} {seconds / total:.1%}" for phase, seconds in split.items())
