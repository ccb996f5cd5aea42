"""The continuous evaluator: scores every checkpoint of a run while it trains, and ends after the run.

It only reads the run's files. It writes its own metrics.jsonl and tensorboard/ to R/watch/SPLIT.
"""

import collections
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from pipeline.engine.evaluation import Evaluator, Tally
from pipeline.errors import PreemptedError, StorageError
from pipeline.monitoring.journal import Journal
from pipeline.process.preemption import Preemption
from pipeline.runs import resume
from pipeline.runs.checkpoints import Checkpoints, Restored
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.saved_run import SavedRun

POLL_S = 1.0
ATTEMPTS = 3  # a checkpoint that is being replaced or deleted looks damaged for a moment


def watch(
    run: RunDirectory,
    split: str,
    execution: Mapping[str, Any],
    timeout_s: int,
    stop: Preemption,
    parameters: str | None = None,
) -> None:
    """Scores all checkpoints of a run, present and future, until the run has ended.

    Waits for the run to start, too. Each checkpoint is scored once, also where the watch itself was started again.
    execution: as for SavedRun.assemble. timeout_s: the longest wait for a checkpoint; 0 for ever.
    parameters: as for SavedRun. The scores lie in R/watch/SPLIT, or SPLIT-PARAMETERS-SOURCE where these are given.
    Raises PreemptedError when a stop is asked for, StorageError if another process watches this split.
    """
    patience = _Patience(timeout_s, stop)
    while not run.config.is_file():
        if not patience.wait():
            print(f"no run in {run.path} after {timeout_s} s")
            return
    names = split, parameters or "", re.sub(r"[^\w.]+", "_", execution.get("source", ""))
    own = RunDirectory(run.path / "watch" / "-".join(filter(None, names)))
    with own.own():
        history = own.history()
        done = {event["step"] for event in history.events if event["event"] == split}
        journal = Journal(own.path, max(done, default=0), history=history)
        try:
            scorer = _Scorer(SavedRun(run, parameters), split, execution)
            reason = _Watch(run, split, scorer, journal, done).until_the_end(patience)
            journal.progress(f"{reason}; {len(done)} checkpoints were scored, the last line of {own.metrics}:")
        finally:
            journal.close()
        for event in history.events[-1:]:
            print(json.dumps(event))


class _Patience:
    """The wait for news of a run, with a limit. A signal ends it."""

    def __init__(self, timeout_s: int, stop: Preemption):
        self.timeout_s, self.stop = timeout_s, stop
        self.renew()

    def renew(self) -> None:
        """Starts the wait anew, after news."""
        self._since = time.monotonic()

    def wait(self) -> bool:
        """Sleeps a little. Returns False once the limit has passed without news. Raises PreemptedError."""
        if not self.stop.requested:
            time.sleep(POLL_S)
        self.check()
        return not 0 < self.timeout_s < time.monotonic() - self._since

    def check(self) -> None:
        """Raises PreemptedError if a stop was asked for."""
        if self.stop.requested:
            raise PreemptedError(f"{self.stop.reason}; all scores are kept, and the same command goes on")


class _Scorer:
    """Scores a split at any checkpoint of a run. The model and the towers are made once, for the first checkpoint."""

    def __init__(self, saved: SavedRun, split: str, execution: Mapping[str, Any]):
        self._saved, self._split, self._execution = saved, split, execution
        self._evaluator: Evaluator | None = None

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of the run."""
        return self._saved.checkpoints

    def __call__(self, step: int, stop: Preemption) -> Tally | None:
        """The tally; None if a stop is asked for. Raises StorageError for a checkpoint that cannot be read."""
        restored = self._saved.read(step)
        if self._evaluator is None:
            self._evaluator = self._make_evaluator(restored)
        else:
            self._towers.load(resume.fitted(restored, self._initial).values)
        return self._evaluator.tally(self._source, lambda: stop.requested)

    def _make_evaluator(self, restored: Restored) -> Evaluator:
        assembly, self._towers = self._saved.assemble(restored, self._execution)
        self._initial = assembly.initial()
        self._source = assembly.kept(self._saved.examples(assembly, self._split))
        return assembly.evaluator(self._towers)


class _Watch:
    """The loop: looks for new checkpoints, scores them, and looks for the end of the run."""

    def __init__(self, run: RunDirectory, split: str, scorer: _Scorer, journal: Journal, done: set[int]):
        """done: the steps that were scored; the watch adds to it."""
        self._run, self._split, self._scorer, self._journal, self._done = run, split, scorer, journal, done
        self._failures: collections.Counter[int] = collections.Counter()  # by step, of present checkpoints

    def until_the_end(self, patience: _Patience) -> str:
        """Scores checkpoints as they appear. Returns the reason why there will be no more."""
        while True:
            end = self._end_of_run()  # before the look for checkpoints, which then sees all of an ended run
            new = self._new()
            for step in new:
                self._score(step, patience.stop)
                patience.check()
                patience.renew()
            if end and not new:
                return end
            if not patience.wait():
                return f"no new checkpoint for {patience.timeout_s} s"

    def _end_of_run(self) -> str | None:
        """A line about the end of the run; None if it goes on, or if the same command would resume it."""
        history, recorded = self._run.history(), self._run.recorded()
        last = history.events[-1] if history.events else None
        if last and last["event"] == "diverged":
            return f"the run diverged at step {last['step']}"
        if last and last["event"] == "corrupted":
            return f"a recheck stopped the run at step {last['step']}"
        # If not, it was started again with more --steps.
        if recorded and history.finished(recorded.steps, recorded.early_stop):
            return f"the run finished at step {history.result['step']}"
        return None

    def _new(self) -> list[int]:
        steps = self._scorer.checkpoints.steps()
        # A deleted checkpoint may come again, whole: a resume replaces damaged ones. So its failures are forgotten.
        self._failures = collections.Counter({step: self._failures[step] for step in steps})
        return [step for step in steps if step not in self._done and self._failures[step] < ATTEMPTS]

    def _score(self, step: int, stop: Preemption) -> None:
        try:
            tally = self._scorer(step, stop)
        except StorageError as error:
            self._pass_over(step, error)
            return
        if tally is None:
            return
        scores = tally.scores
        self._done.add(step)
        self._journal.scalars(self._split, step, tally.values)
        self._journal.progress(f"step {step}: {self._split} accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}")

    def _pass_over(self, step: int, error: StorageError) -> None:
        """Reports a checkpoint that is gone, or that is still damaged after ATTEMPTS."""
        self._failures[step] += 1
        if step not in self._scorer.checkpoints.steps():
            self._journal.progress(f"passed over: ckpt-{step} was deleted before it was read")
        elif self._failures[step] == ATTEMPTS:
            self._journal.progress(f"passed over: {error}")
