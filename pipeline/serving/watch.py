"""The continuous evaluator: scores every checkpoint of a run that goes on beside it, and ends when the run has ended.

It only reads what the run wrote. Its own words lie in R/watch/SPLIT: metrics.jsonl, and tensorboard/ for TensorBoard.
"""

import collections
import json
import time
from collections.abc import Mapping
from typing import Any

from pipeline.engine.evaluation import Evaluator, Scores
from pipeline.errors import PreemptedError, StorageError
from pipeline.monitoring.journal import Journal
from pipeline.process.preemption import Preemption
from pipeline.runs import resume
from pipeline.runs.checkpoints import Checkpoints, Restored
from pipeline.runs.run_directory import RunDirectory
from pipeline.runs.saved_run import SavedRun, check_examples

POLL_S = 1.0
ATTEMPTS = 3  # a checkpoint that is being replaced or deleted looks damaged for a moment


def watch(run: RunDirectory, split: str, execution: Mapping[str, Any], timeout_s: int, stop: Preemption) -> None:
    """Scores the checkpoints of a run, those that lie there and those that come, until the run has ended.

    Each is scored once, also by a watch that was started again. Waits for the run itself, too.
    execution: as for SavedRun.assemble. timeout_s: to wait for a checkpoint; 0 for ever.
    Raises PreemptedError when a signal asks for the end, StorageError if this split is being watched already.
    """
    patience = _Patience(timeout_s, stop)
    while not run.config.is_file():
        if not patience.wait():
            print(f"no run in {run.path} after {timeout_s} s")
            return
    own = RunDirectory(run.path / "watch" / split)
    with own.own():
        history = own.history()
        done = {event["step"] for event in history.events if event["event"] == split}
        journal = Journal(own.path, max(done, default=0), history=history)
        try:
            scorer = _Scorer(SavedRun(run), split, execution)
            why = _Watch(run, split, scorer, journal, done).until_the_end(patience)
            journal.progress(f"{why}; {len(done)} checkpoints were scored, the last line of {own.metrics}:")
        finally:
            journal.close()
        for event in history.events[-1:]:
            print(json.dumps(event))


class _Patience:
    """How long to wait for news; and a signal is news too."""

    def __init__(self, timeout_s: int, stop: Preemption):
        self.timeout_s, self.stop = timeout_s, stop
        self.renew()

    def renew(self) -> None:
        """There was news: the waiting starts anew."""
        self._since = time.monotonic()

    def wait(self) -> bool:
        """Sleeps a little; False if there was no news for too long. Raises PreemptedError."""
        if not self.stop.requested:
            time.sleep(POLL_S)
        self.check()
        return not 0 < self.timeout_s < time.monotonic() - self._since

    def check(self) -> None:
        """Raises PreemptedError if a signal came."""
        if self.stop.requested:
            raise PreemptedError(f"{self.stop.reason}; what was scored is kept, and the same command goes on")


class _Scorer:
    """The scores of a split at any checkpoint of a run. What that needs is made for the first one, and kept."""

    def __init__(self, saved: SavedRun, split: str, execution: Mapping[str, Any]):
        self._saved, self._split, self._execution = saved, split, execution
        self._evaluator: Evaluator | None = None

    @property
    def checkpoints(self) -> Checkpoints:
        """Those of the run."""
        return self._saved.checkpoints

    def __call__(self, step: int, stop: Preemption) -> Scores | None:
        """The scores, or None as soon as a signal comes. Raises StorageError for a checkpoint that cannot be read."""
        restored = self._saved.checkpoints.read(step)
        if self._evaluator is None:
            self._evaluator = self._made_for(restored)
        else:
            self._towers.load(resume.fitted(restored, self._initial).values)
        return self._evaluator(self._source, lambda: stop.requested)

    def _made_for(self, restored: Restored) -> Evaluator:
        assembly, self._towers = self._saved.assemble(restored, self._execution)
        check_examples(assembly.spec, assembly.splits.spec)
        self._initial, self._source = assembly.initial(), getattr(assembly.splits, self._split)
        return Evaluator(assembly.model, self._towers, assembly.config.eval_batch)


class _Watch:
    """The loop: which checkpoints are new, and whether the run has ended."""

    def __init__(self, run: RunDirectory, split: str, scorer: _Scorer, journal: Journal, done: set[int]):
        """done: the steps that were scored; those that are scored here are added to it."""
        self._run, self._split, self._scorer, self._journal, self._done = run, split, scorer, journal, done
        self._failures: collections.Counter[int] = collections.Counter()  # of checkpoints that lie there

    def until_the_end(self, patience: _Patience) -> str:
        """Scores checkpoints as they appear; returns why no more will be."""
        while True:
            end = self._end_of_run()  # asked first: what lies there after it is all that there will be
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
        """How the run ended, if no start of the same command would go on with it."""
        history, recorded = self._run.history(), self._run.recorded()
        last = history.events[-1] if history.events else None
        if last and last["event"] == "diverged":
            return f"the run diverged at step {last['step']}"
        if recorded and history.finished(recorded.steps):  # else it was started again, with more --steps
            return f"the run finished at step {history.result['step']}"
        return None

    def _new(self) -> list[int]:
        steps = self._scorer.checkpoints.steps()
        # One that lies there no more may come again, whole: a resume replaces what was damaged.
        self._failures = collections.Counter({step: self._failures[step] for step in steps})
        return [step for step in steps if step not in self._done and self._failures[step] < ATTEMPTS]

    def _score(self, step: int, stop: Preemption) -> None:
        try:
            scores = self._scorer(step, stop)
        except StorageError as error:
            self._pass_over(step, error)
            return
        if scores is None:
            return
        self._done.add(step)
        self._journal.scalars(self._split, step, {"loss": scores.loss, "accuracy": scores.accuracy})
        self._journal.progress(f"step {step}: {self._split} accuracy {scores.accuracy:.2%}, loss {scores.loss:.4f}")

    def _pass_over(self, step: int, error: StorageError) -> None:
        """Tells of a checkpoint that is gone, or stays damaged for some time."""
        self._failures[step] += 1
        if step not in self._scorer.checkpoints.steps():
            self._journal.progress(f"passed over: ckpt-{step} was deleted before it was read")
        elif self._failures[step] == ATTEMPTS:
            self._journal.progress(f"passed over: {error}")
