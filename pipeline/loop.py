"""From the restored step to the last one: the steps between two boundaries, and what is due at each."""

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from pipeline import placement, state
from pipeline.assembly import Assembly
from pipeline.checkpoint import Checkpoints, Manifest
from pipeline.clock import Clock
from pipeline.evaluation import Evaluator, Scores
from pipeline.exits import DivergedError, PreemptedError
from pipeline.job import Job
from pipeline.journal import Journal
from pipeline.preemption import Preemption
from pipeline.run_directory import RunDirectory
from pipeline.start import Start
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
    job: Job
    start: Start

    def __post_init__(self):
        self._config, self._cluster = self.assembly.config, self.assembly.cluster
        self._is_chief = self.assembly.topology.workers.is_chief
        self._evaluator = Evaluator(self.assembly.model, self.trainer.towers, self._config.eval_batch)
        self._clock = Clock()
        self._saved_step = self.start.step  # of the newest checkpoint; 0 if there is none
        self._validated = dict(self.start.validated)  # the same on every worker
        self._stop_agreed = False  # on every worker after the same step

    def go(self) -> None:
        """Trains from the start to the end, then scores the test split and writes the result.

        Raises PreemptedError once everything is saved, DivergedError before a bad update is applied, and
        StorageError.
        """
        step = self.start.step
        self._at_boundary(step, restored=step > 0)
        while step < self._config.steps:
            step = self._train(step, self._next_boundary(step))
            self._at_boundary(step)
        self._save(step)
        self.checkpoints.wait()
        self._finish(step)
        self._cluster.barrier()  # so that nobody misses the others before the chief has written all

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

    @contextlib.contextmanager
    def _phase(self, name: str, step: int) -> Iterator[None]:
        self.job.progress.enter(name, step)
        with self._clock.timing(name):
            yield

    def _train(self, step: int, last: int) -> int:
        """Trains up to `last`, or to where a stop is asked for; the step that was reached."""
        first = self.trainer.placement is None
        with self._phase("start" if first else "training", step):
            outcome = self.trainer.advance(step, last, self.preemption.requested)
        self._stop_agreed |= bool(outcome.stop)
        last = int(outcome.next_step)
        if first:
            self._write_placement(step)
        else:
            self._clock.images += (last - step) * self._config.global_batch
        if outcome.diverged:
            raise self._diverged(int(outcome.next_step))
        if self._due(last, self._config.log_every):
            self._log(last, outcome)
        return last

    def _write_placement(self, step: int) -> None:
        placed = self.trainer.placement
        assert placed is not None
        text = placement.table(placed)
        if self._is_chief:
            self.run.write(self.run.placement, text)
        if not self._config.soft_device_placement:
            placement.check(placed, self.assembly.topology.devices)
        if step == 0 and self._is_chief:
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
        scores = None if step in self._validated else self._scores("validation", step)
        if scores is None:
            return False
        best = scores.accuracy > max(self._validated.values(), default=-1.0)
        self._validated[step] = scores.accuracy
        self.journal.scalars("validation", step, {"loss": scores.loss, "accuracy": scores.accuracy})
        self.journal.progress(f"step {step}: validation accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}")
        return best

    def _scores(self, split: str, step: int) -> Scores | None:
        """What a split scores, or None if a worker was asked to stop, which then all know."""
        with self._phase("evaluation", step):
            scores = self._evaluator(getattr(self.assembly.splits, split), lambda: self.preemption.requested)
        self._stop_agreed |= scores is None
        return scores

    def _save(self, step: int) -> None:
        """Starts a checkpoint of this step, unless it is there, after comparing the replicas."""
        if step == self._saved_step:
            return
        self.journal.flush()  # so that a checkpoint never stands before the lines that led to it
        with self._phase("saving", step):
            values = self.trainer.towers.check_equal(step)
            self._check_workers_equal(values, step)
            if self._is_chief:
                self.checkpoints.save(step, values, self.assembly.about(), self._saved)
        self._saved_step = step

    def _check_workers_equal(self, values: state.Values, step: int) -> None:
        """Raises DivergedError naming the workers whose state is not the chief's."""
        if self._cluster.alone:
            return
        chiefs, *others = self._cluster.gather_json(state.sha256(values))
        wrong = [f"worker {index}" for index, found in enumerate(others, start=1) if found != chiefs]
        if wrong:
            raise DivergedError(
                f"at step {step} the state of {', '.join(wrong)} is not equal to that of worker 0; "
                "resume from the last checkpoint, and suspect that machine's memory"
            )

    def _saved(self, manifest: Manifest, seconds: float) -> None:
        self.journal.event("checkpoint", manifest.step, seconds=round(seconds, 3), bytes=manifest.num_bytes)
        best = self.run.best_step(self.checkpoints.steps())
        self.checkpoints.prune(self._config.keep_checkpoints, also=set() if best is None else {best})

    def _stop_if_asked(self, step: int) -> None:
        self._stop_agreed |= self._cluster.alone and self.preemption.requested
        if not self._stop_agreed:
            return
        self.preemption.ask("a stop of another worker")  # its deadline counts here too
        if step:
            self._save(step)
        self.checkpoints.wait()
        self.journal.event("preempted", step, signal=self.preemption.reason)
        self._cluster.barrier()
        self.run.stop_file.unlink(missing_ok=True)
        raise PreemptedError(
            f"{self.preemption.reason} at step {step}, and all of it is saved; the same command goes on from there"
        )

    def _diverged(self, step: int) -> DivergedError:
        """The error for a step that is not finite, computed once more to name the variables."""
        self.job.progress.enter("diverged", step)
        gradient = self.trainer.gradient(step)
        bad = [name for name, value in gradient.by_parameter.items() if not np.isfinite(value).all()]
        self.checkpoints.wait()
        self.journal.event("diverged", step, loss=gradient.loss, variables=bad)
        kept = (
            f"the last good checkpoint is of step {self._saved_step}"
            if self._saved_step
            else "no checkpoint was due yet"
        )
        return DivergedError(
            f"at step {step} the loss is {gradient.loss} and the gradient of {', '.join(bad) or 'no variable'} is not "
            f"finite; nothing of it was applied, and {kept}. "
            "Lower --learning_rate, or bound the gradient with --clip_norm, in another --run_dir"
        )

    def _finish(self, step: int) -> None:
        scores = self._scores("test", step)
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
