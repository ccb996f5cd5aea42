"""The loop of a run: train to the next boundary, do what is due there, until the last step."""

import contextlib
from collections.abc import Iterator, Mapping

from pipeline.engine import devices, exchange, placement, state
from pipeline.engine.outcome import Outcome
from pipeline.engine.tally import Tally
from pipeline.errors import BadDataError, PreemptedError, StorageError
from pipeline.monitoring import gallery, graphs, hparams
from pipeline.monitoring.profiling import Profiler
from pipeline.monitoring.reporter import Reporter
from pipeline.runs import regrouping
from pipeline.runs.cadence import Cadence
from pipeline.runs.divergence import Divergence
from pipeline.runs.pacing import Pacing
from pipeline.runs.rechecking import Rechecker
from pipeline.runs.run import Run
from pipeline.runs.saving import Saver
from pipeline.runs.scoring import Scorer


def train(run: Run) -> None:
    """Trains from where the run starts to its last step, then scores the test split and writes the result.

    Raises PreemptedError once everything is saved, DivergedError before a bad update is applied, BadDataError for an
    example that cannot be read, and StorageError.
    """
    loop = Loop(run)
    step = run.start.step
    loop.at_boundary(step, restored=step > 0)
    while step < run.config.steps and not loop.ends_early(step):
        first, last = step, loop.cadence.next_boundary(step)
        outcome = loop.advance(step, last)
        step = loop.after_call(first, outcome)
        loop.at_boundary(step, restored=bool(outcome.diverged))
    loop.finish(step)


class Loop:
    """The work around the steps: report, evaluate, save, stop."""

    def __init__(self, run: Run):
        self.cadence = Cadence.from_config(run.config)
        self._run, self._saver, self._scorer = run, Saver(run), Scorer(run)
        self._rechecker, self._divergence = Rechecker(run, self._saver), Divergence(run, self._saver, self._scorer)
        self._reporter = Reporter(run.config, run.journal, run.clock, run.restarts)
        self._profiler = Profiler(run.config.profile_window, run.directory.tensorboard)
        self._pacing = Pacing(run)
        self._is_first_call = True  # the first call traces: its time does not count as training
        self._phase = "start"  # of the last call
        self._stop_agreed = self._save_agreed = False  # all workers agree after the same step
        run.job.rescue = lambda: self._saver.rescue(run.trainer.reached)

    def at_boundary(self, step: int, restored: bool = False) -> None:
        """Does the work that is due between two steps. At a restored step, only an evaluation can be missing.

        A checkpoint is saved before the validation split is read, because its examples may be broken.
        """
        self._profiler.at(step)
        if not restored:
            self._summarize(step)
        if self.cadence.saves(step) or self._save_agreed:
            self._saver.save(step)
            regrouping.stop_for_newcomers(self._run, step)
        if self.cadence.evaluates(step) and not self._scorer.is_validated(step):
            with self._keeping():
                is_best = self._scorer.validate(step)
            self._stop_agreed |= is_best is None
            if is_best:
                self._saver.save(step)
        self._stop_if_asked(step)

    def advance(self, step: int, last: int) -> Outcome:
        """Computes the steps to `last` - 1, as `Trainer.advance` does. Raises DivergedError if a recheck fails."""
        rechecks = self.cadence.rechecks(step)
        traces = self._is_first_call or (rechecks and not self._rechecker.has_traced)
        self._phase = "start" if traces else "recheck" if rechecks else "training"
        with self._training(step, self._phase):
            if rechecks:
                return self._rechecker.advance(step, self._asks())
            return self._run.trainer.advance(step, last, self._asks())

    def _asks(self) -> float:
        """What this worker asks all of them to do after the next step."""
        if self._run.stop.requested:
            return exchange.STOP
        return exchange.SAVE if self._saver.is_overdue() else exchange.NOTHING

    @contextlib.contextmanager
    def _training(self, step: int, phase: str) -> Iterator[None]:
        """Times a call of the trainer. If an example cannot be read, saves the last good state before it raises."""
        with self._keeping(), self._run.phase(phase, step), self._profiler.call(step):
            yield

    @contextlib.contextmanager
    def _keeping(self) -> Iterator[None]:
        """If an example cannot be read inside, or a store that it lies in, saves the last good state."""
        try:
            yield
        except (BadDataError, StorageError) as error:
            self._run.job.part(error)
            self._saver.rescue(self._run.trainer.reached)
            raise

    def after_call(self, first: int, outcome: Outcome) -> int:
        """Reports the steps that one call computed, from `first` on. Returns the step to go on from.

        Raises DivergedError if the last one diverged and there is no rollback.
        """
        run, step = self._run, int(outcome.next_step)
        self._stop_agreed |= outcome.stops
        self._save_agreed = outcome.saves and not outcome.diverged
        is_first_call, self._is_first_call = self._is_first_call, False
        if is_first_call:
            with run.clock.timing("start"):
                self._write_placement(first)
        if self._phase != "start":
            run.clock.count((step - first) * run.config.global_batch)
        if self._phase == "training":
            run.clock.waited(float(outcome.input_seconds), float(outcome.reduction_seconds))
            self._pacing.count(step - first, outcome)
        if outcome.diverged:
            return self._divergence.go_back(step)
        self._reporter.show_progress(step, outcome)
        if self.cadence.logs(step):
            self._reporter.log(step, outcome)
            self._pacing.log(step)
        if is_first_call and first == 0 and run.is_chief:  # after the first figures, which users wait for
            with run.clock.timing("start"):
                run.journal.graph(graphs.readable(run.trainer.graph()))
        return step

    def ends_early(self, step: int) -> bool:
        """Whether --early_stop ends the run at this step."""
        if not self._scorer.ends_early():
            return False
        self._run.journal.progress(f"step {step}: the run ends early, by --early_stop={self._run.config.early_stop}")
        return True

    def finish(self, step: int) -> None:
        """Saves the last step, scores the test split, and writes the result.

        Raises PreemptedError if a stop was asked for before the result.
        """
        run = self._run
        self._saver.save(step)
        self._saver.wait()
        slowest = self._pacing.finish(step)
        tally = self._scorer.tally("test", step)
        self._stop_agreed |= tally is None
        self._stop_if_asked(step)
        assert tally is not None  # None only if a stop was asked for, and then the line above raised
        if not run.journal.history.has("test", step):  # a launch that was killed before its result may have written it
            self._scorer.report("test", step, tally)
        self._write_result(step, tally, slowest)
        run.cluster.part()  # so that no worker leaves before the chief has written all

    def _write_result(self, step: int, tally: Tally, slowest: Mapping[str, str]) -> None:
        run, clock = self._run, self._run.clock
        run.journal.whole_run(step, [hparams.end()])
        peaks, where = devices.peak_mib(run.topology), {**slowest, **run.directory.where()}
        run.journal.progress(self._reporter.ending(step, tally, peaks, where, run.assembly.weighs))
        run.journal.result(
            step,
            **{f"test_{metric}": value for metric, value in tally.values.items()},
            **({"early_stop": run.config.early_stop} if step < run.config.steps else {}),
            images_per_second=round(clock.images_per_second(), 1),
            wall_seconds=round(clock.elapsed(), 2),
            seconds={phase: round(seconds, 3) for phase, seconds in clock.split().items()},
            peak_mib=peaks,
            exact=run.topology.is_exact(run.config),
            parameters_sha256=state.parameters_sha256(run.trainer.towers.check_equal(step)),
        )

    def _summarize(self, step: int) -> None:
        """Shows histograms of parameters and gradients if they are due."""
        run = self._run
        if self.cadence.shows_parameters(step):
            values = state.arrays(run.trainer.towers.replicas[0].read())
            gallery.show_parameters(run.journal, step, values, run.assembly.spec.image_shape[-1])
        if self.cadence.shows_gradients(step):
            gradients = run.trainer.gradient(step).by_parameter
            run.journal.histograms(step, {f"gradients/{name}": gradient for name, gradient in gradients.items()})

    def _write_placement(self, step: int) -> None:
        """Writes placement.txt. Raises UsageError if a part of a tower lies on another device."""
        run, placed = self._run, self._run.trainer.placement
        assert placed is not None
        text = placement.table(placed)
        if run.is_chief:
            run.directory.write(run.directory.placement, text)
        if not run.config.soft_device_placement:
            placement.check(placed, run.topology.devices)
        run.journal.text("run/placement", f"```\n{text}\n```", step)

    def _stop_if_asked(self, step: int) -> None:
        """Saves and raises PreemptedError if a stop was asked for. Several workers do so once all have agreed."""
        run, stop = self._run, self._run.stop
        self._stop_agreed |= run.cluster.alone and stop.requested
        if not self._stop_agreed:
            return
        stop.ask(regrouping.ANOTHERS)  # so that the deadline of a stop holds here too
        if step:
            self._saver.save(step)
        run.checkpoints.wait()
        regrouping.part_with_those_told_to_stop(run, step)
        run.journal.event("preempted", step, signal=stop.reason)
        run.cluster.part()
        remedy = (
            "the same command goes on from there"
            if run.directory.clear_stop()
            else (f"remove {run.directory.stop_file}, then the same command goes on from there")
        )
        raise PreemptedError(f"{stop.reason} at step {step}, and all of it is saved; {remedy}")
