"""From the restored step to the last one: the steps between two boundaries, and what is due at each."""

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from pipeline.engine import placement, state
from pipeline.engine.assembly import Assembly
from pipeline.engine.evaluation import Evaluator, Tally
from pipeline.errors import DivergedError, PreemptedError
from pipeline.monitoring import gallery, hparams, terminal
from pipeline.monitoring.clock import Clock
from pipeline.monitoring.journal import Journal
from pipeline.monitoring.profiling import Profiler
from pipeline.runs.checkpoints import Checkpoints, Manifest
from pipeline.runs.run_directory import RunDirectory
from pipeline.process.preemption import Preemption
from pipeline.engine.step import Outcome
from pipeline.engine.trainer import Trainer
from pipeline.workers.job import Job
from pipeline.runs.starting_point import StartingPoint


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
    start: StartingPoint

    def __post_init__(self):
        self._config, self._cluster = self.assembly.config, self.assembly.cluster
        self._is_chief = self.assembly.topology.workers.is_chief
        self._evaluator = Evaluator(
            self.assembly.model, self.trainer.towers, self._config.eval_batch, self._cluster.gather
        )
        self._profiler = Profiler(self._config.profile, self.run.tensorboard)
        self._restarts = self.run.starts() - 1
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
        with self._clock.timing("saving"):
            self.checkpoints.wait()
        self._finish(step)
        self._cluster.barrier()  # so that nobody misses the others before the chief has written all

    def _next_boundary(self, step: int) -> int:
        config = self._config
        intervals = (config.log_every, config.eval_every, config.checkpoint_every, config.summary_every)
        due = [step - step % n + n for n in intervals if n] + self._profiler.next_boundary(step)
        return min([step + config.steps_per_loop, config.steps, *due])

    def _due(self, step: int, every: int) -> bool:
        return step > 0 and every > 0 and step % every == 0

    def _at_boundary(self, step: int, restored: bool = False) -> None:
        """Does what is due between two steps; of a restored step, only an evaluation can be missing."""
        self._profiler.at(step)
        if not restored:
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
        with self._phase("start" if first else "training", step), self._profiler.call(step):
            outcome = self.trainer.advance(step, last, self.preemption.requested)
        self._stop_agreed |= bool(outcome.stop)
        last = int(outcome.next_step)
        if first:
            with self._clock.timing("start"):
                self._write_placement(step)
        else:
            self._clock.images += (last - step) * self._config.global_batch
            self._clock.seconds["input"] += float(outcome.input_seconds)
            self._clock.seconds["reduction"] += float(outcome.reduction_seconds)
        if outcome.diverged:
            raise self._diverged(int(outcome.next_step))
        self._show_progress(last, outcome)
        if self._due(last, self._config.log_every):
            self._log(last, outcome)
        if first and step == 0 and self._is_chief:  # after the first figures are told: it takes a trace of its own
            with self._clock.timing("start"):
                self.journal.graph(self.trainer.graph())
        return last

    def _write_placement(self, step: int) -> None:
        placed = self.trainer.placement
        assert placed is not None
        text = placement.table(placed)
        if self._is_chief:
            self.run.write(self.run.placement, text)
        if not self._config.soft_device_placement:
            placement.check(placed, self.assembly.topology.devices)
        self.journal.text("run/placement", f"```\n{text}\n```", step)

    def _show_progress(self, step: int, outcome: Outcome) -> None:
        accuracy = int(outcome.correct) / self._config.global_batch
        parts = [f"loss {float(outcome.loss):.3f}", f"accuracy {accuracy:.0%}"]
        if self._clock.images:
            parts.append(f"{self._clock.images_per_second():,.0f} images/s")
        if self._restarts:
            parts.append(f"restarts {self._restarts}")
        self.journal.terminal.move(step, self._config.steps, "  ".join(parts))

    def _log(self, step: int, outcome: Outcome) -> None:
        rate = self._clock.images_per_second_lately()
        values = {
            "loss": float(outcome.loss),
            "accuracy": int(outcome.correct) / self._config.global_batch,
            "learning_rate": float(outcome.learning_rate),
            "gradient_norm": float(outcome.gradient_norm),
            "images_per_second": rate,
        }
        shares = self._clock.shares_lately()
        self.journal.scalars("train", step, values)
        self.journal.points("train", step, {f"speed/time_{phase}": share for phase, share in shares.items()})
        self.journal.points("train", step, {"restarts": self._restarts})
        self.journal.terminal.still(
            f"step {step}/{self._config.steps} ({step / self._config.steps:.0%})  loss {values['loss']:.4f}  "
            f"accuracy {values['accuracy']:.1%}  {rate:,.0f} images/s"
        )
        self.journal.terminal.detail(
            f"  learning rate {values['learning_rate']:.3g}  gradient norm {values['gradient_norm']:.3g}  "
            + "  ".join(f"{phase} {share:.0%}" for phase, share in shares.items())
        )

    def _summarize(self, step: int) -> None:
        """Shows parameters and gradients, where that is due."""
        config = self._config
        summary = config.summary_every > 0 and step % config.summary_every == 0
        if summary or self._due(step, config.eval_every) or step == config.steps:
            values = state.arrays(self.trainer.towers.replicas[0].read())
            gallery.show_parameters(self.journal, step, values, self.assembly.spec.image_shape[-1])
        if summary:
            gradients = self.trainer.gradient(step).by_parameter
            self.journal.histograms(step, {f"gradients/{name}": gradient for name, gradient in gradients.items()})

    def _validate(self, step: int) -> bool:
        """Scores the validation split, unless that was done before; whether it is the run's best accuracy."""
        tally = None if step in self._validated else self._tally("validation", step)
        if tally is None:
            return False
        scores = tally.scores
        best = scores.accuracy > max(self._validated.values(), default=-1.0)
        self._validated[step] = scores.accuracy
        self._tell_tally("validation", step, tally)
        self.journal.progress(f"step {step}: validation accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}")
        return best

    def _tally(self, split: str, step: int) -> Tally | None:
        """What a split scores, or None if a worker was asked to stop, which then all know."""
        with self._phase("evaluation", step):
            tally = self._evaluator.tally(getattr(self.assembly.splits, split), lambda: self.preemption.requested)
        self._stop_agreed |= tally is None
        return tally

    def _tell_tally(self, split: str, step: int, tally: Tally) -> None:
        if not self._is_chief:
            return
        with self.trainer.towers.on_host():
            gallery.show_tally(self.journal, split, step, tally, getattr(self.assembly.splits, split))
        self.journal.scalars(split, step, {"loss": tally.scores.loss, "accuracy": tally.scores.accuracy})

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

    def _check_workers_equal(self, values: state.Snapshot, step: int) -> None:
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
        self.journal.terminal.detail(f"step {manifest.step}: checkpoint, {manifest.num_bytes:,} bytes, {seconds:.2f} s")
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
        tally = self._tally("test", step)
        self._stop_if_asked(step)
        assert tally is not None  # None only if a signal came, and then the line above raised
        scores = tally.scores
        if not self.run.told("test", step):  # by a start that was killed before its result
            self._tell_tally("test", step, tally)
        self.journal.job(step, [hparams.end()])
        self.journal.progress(self._ending(step, tally))
        self.journal.result(
            step,
            test_accuracy=scores.accuracy,
            test_loss=scores.loss,
            images_per_second=round(self._clock.images_per_second(), 1),
            wall_seconds=round(self._clock.elapsed(), 2),
            seconds={phase: round(seconds, 3) for phase, seconds in self._clock.split().items()},
            parameters_sha256=state.parameters_sha256(self.trainer.towers.check_equal(step)),
        )

    def _ending(self, step: int, tally: Tally) -> str:
        """The table at the end of a run."""
        best = max(self.run.validation_accuracy().items(), key=lambda item: (item[1], -item[0]), default=None)
        wrong = int(tally.confusion.sum() - tally.confusion.trace())
        rows = {
            "test accuracy": f"{tally.scores.accuracy:.2%} ({wrong:,} of {tally.scores.examples:,} wrong)",
            "test loss": f"{tally.scores.loss:.4f}",
            "best validation": f"{best[1]:.2%} at step {best[0]}" if best else "never evaluated",
            "restarts": str(self._restarts),
            "time": terminal.time_split(self._clock),
            "speed": f"{self._clock.images_per_second():,.0f} images/s",
            **self.run.where(),
        }
        return f"finished at step {step}\n{terminal.table(rows)}"
