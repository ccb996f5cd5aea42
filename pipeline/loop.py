"""From the restored step to the last one: the steps between two boundaries, and what is due at each."""

import dataclasses

import numpy as np

from pipeline import placement, state
from pipeline.assembly import Assembly
from pipeline.checkpoint import Checkpoints, Manifest
from pipeline.clock import Clock
from pipeline.evaluation import Evaluator, Scores
from pipeline.exits import DivergedError, PreemptedError
from pipeline.journal import Journal
from pipeline.preemption import Preemption
from pipeline.run_directory import RunDirectory
from pipeline.step import Outcome
from pipeline.trainer import Trainer


@dataclasses.dataclass
class Loop:
    """One process's part of a run: training, and the evaluations, checkpoints and reports along the way."""

    assembly: Assembly
    trainer: Trainer
    run: RunDirectory
    checkpoints: Checkpoints
    journal: Journal
    preemption: Preemption
    saved_step: int  # the step of the newest checkpoint; 0 if there is none

    def __post_init__(self):
        self._config = self.assembly.config
        self._evaluator = Evaluator(self.assembly.model, self.trainer.towers, self._config.eval_batch)
        self._clock = Clock()

    def go(self, step: int) -> None:
        """Trains from `step` to the end, then scores the test split and writes the result.

        Raises PreemptedError once everything is saved, DivergedError before a bad update is applied, and
        StorageError.
        """
        self._at_boundary(step, restored=step > 0)
        while step < self._config.steps:
            last = self._next_boundary(step)
            self._train(step, last)
            step = last
            self._at_boundary(step)
        self._save(step)
        self.checkpoints.wait()
        self._finish(step)

    def _next_boundary(self, step: int) -> int:
        config = self._config
        intervals = (config.log_every, config.eval_every, config.checkpoint_every, config.summary_every)
        return min([step + config.steps_per_loop, config.steps] + [step - step % n + n for n in intervals if n])

    def _due(self, step: int, every: int) -> bool:
        return step > 0 and every > 0 and step % every == 0

    def _at_boundary(self, step: int, restored: bool = False) -> None:
        """Does what is due between two steps; of a restored step, only an evaluation can be missing."""
        if not restored and self._config.summary_every and step % self._config.summary_every == 0:
            self._summarize(step)
        best = self._due(step, self._config.eval_every) and self._validate(step)
        if best or self._due(step, self._config.checkpoint_every):
            self._save(step)
        self._stop_if_asked(step)

    def _train(self, step: int, last: int) -> None:
        first = self.trainer.placement is None
        with self._clock.timing("start" if first else "training"):
            outcome = self.trainer.advance(step, last)
        if first:
            self._write_placement(step)
        else:
            self._clock.images += (last - step) * self._config.global_batch
        if outcome.diverged:
            raise self._diverged(int(outcome.next_step))
        if self._due(last, self._config.log_every):
            self._log(last, outcome)

    def _write_placement(self, step: int) -> None:
        placed = self.trainer.placement
        assert placed is not None
        text = placement.table(placed)
        self.run.write(self.run.placement, text)
        if not self._config.soft_device_placement:
            placement.check(placed, self.assembly.topology.devices)
        if step == 0:
            self.journal.graph(self.trainer.graph())
            self.journal.text("placement", f"```\n{text}\n```", step)

    def _log(self, step: int, outcome: Outcome) -> None:
        rate = self._clock.images_per_second_lately()
        values = {
            "loss": float(outcome.loss),
            "accuracy": int(outcome.correct) / self._config.global_batch,
            "learning_rate": float(outcome.learning_rate),
            "gradient_norm": float(outcome.gradient_norm),
            "images_per_second": rate,
        }
        self.journal.scalars("train", step, values)
        self.journal.progress(
            f"step {step}/{self._config.steps} ({step / self._config.steps:.0%})  loss {values['loss']:.4f}  "
            f"accuracy {values['accuracy']:.1%}  {rate:,.0f} images/s"
        )

    def _summarize(self, step: int) -> None:
        values = self.trainer.towers.replicas[0].read()
        parameters = {name: value for name, value in values.items() if name.startswith("parameters/")}
        gradients = self.trainer.gradient(step).by_parameter
        self.journal.histograms(step, parameters | {f"gradients/{name}": g for name, g in gradients.items()})

    def _validate(self, step: int) -> bool:
        """Scores the validation split, unless that was done before; whether it is the run's best accuracy."""
        before = self.run.validation_accuracy()
        scores = None if step in before else self._scores("validation")
        if scores is None:
            return False
        self.journal.scalars("validation", step, {"loss": scores.loss, "accuracy": scores.accuracy})
        self.journal.progress(f"step {step}: validation accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}")
        return scores.accuracy > max(before.values(), default=-1.0)

    def _scores(self, split: str) -> Scores | None:
        with self._clock.timing("evaluation"):
            return self._evaluator(getattr(self.assembly.splits, split), lambda: self.preemption.requested)

    def _save(self, step: int) -> None:
        """Starts a checkpoint of this step, unless it is there, after comparing the replicas."""
        if step == self.saved_step:
            return
        self.journal.flush()  # so that a checkpoint never stands before the lines that led to it
        with self._clock.timing("saving"):
            values = self.trainer.towers.check_equal(step)
            self.checkpoints.save(step, values, self.assembly.about(), self._saved)
        self.saved_step = step

    def _saved(self, manifest: Manifest, seconds: float) -> None:
        self.journal.event("checkpoint", manifest.step, seconds=round(seconds, 3), bytes=manifest.num_bytes)
        best = self.run.best_step(self.checkpoints.steps())
        self.checkpoints.prune(self._config.keep_checkpoints, also=set() if best is None else {best})

    def _stop_if_asked(self, step: int) -> None:
        if not self.preemption.signal:
            return
        if step:
            self._save(step)
        self.checkpoints.wait()
        name = self.preemption.signal.name
        self.journal.event("preempted", step, signal=name)
        raise PreemptedError(f"{name} at step {step}, and all of it is saved; the same command goes on from there")

    def _diverged(self, step: int) -> DivergedError:
        """The error for a step that is not finite, computed once more to name the variables."""
        gradient = self.trainer.gradient(step)
        bad = [name for name, value in gradient.by_parameter.items() if not np.isfinite(value).all()]
        self.checkpoints.wait()
        self.journal.event("diverged", step, loss=gradient.loss, variables=bad)
        kept = (
            f"the last good checkpoint is of step {self.saved_step}" if self.saved_step else "no checkpoint was due yet"
        )
        return DivergedError(
            f"at step {step} the loss is {gradient.loss} and the gradient of {', '.join(bad) or 'no variable'} is not "
            f"finite; nothing of it was applied, and {kept}. "
            "Lower --learning_rate, or bound the gradient with --clip_norm, in another --run_dir"
        )

    def _finish(self, step: int) -> None:
        scores = self._scores("test")
        self._stop_if_asked(step)
        assert scores is not None  # None only if a signal came, and then the line above raised
        if not self.run.told("test", step):  # by a start that was killed before its result
            self.journal.scalars("test", step, {"loss": scores.loss, "accuracy": scores.accuracy})
        self.journal.progress(f"finished at step {step}: test accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}")
        self.journal.progress(self.run.how_to_look())
        self.journal.result(
            step,
            test_accuracy=scores.accuracy,
            test_loss=scores.loss,
            images_per_second=round(self._clock.images_per_second(), 1),
            wall_seconds=round(self._clock.elapsed(), 2),
            parameters_sha256=state.parameters_sha256(self.trainer.towers.check_equal(step)),
        )
