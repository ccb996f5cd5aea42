"""The checkpoints of an open run: saved after replicas and workers were compared, and pruned to the kept ones."""

import threading
import time

from pipeline.engine import state
from pipeline.errors import DivergedError
from pipeline.runs.checkpoints import Manifest
from pipeline.runs.run import Run


class Saver:
    """Saves the state of a run, and remembers the last saved step."""

    def __init__(self, run: Run):
        self._run = run
        self.step = run.start.step  # the newest checkpoint's; 0 if there is none
        self._saved_s = time.monotonic()  # the time of the last save, or of the start
        self._rescuing = threading.Lock()

    def is_overdue(self) -> bool:
        """Whether a checkpoint is due by --checkpoint_minutes. The chief's clock decides for all workers."""
        minutes = self._run.config.checkpoint_minutes
        return self._run.is_chief and 0 < minutes <= (time.monotonic() - self._saved_s) / 60

    def save(self, step: int, with_others: bool = True) -> None:
        """Compares the replicas and starts a checkpoint of this step, unless it was saved already.

        with_others: whether all workers save, and compare their states. Raises DivergedError for replicas or workers
        that differ, StorageError if the previous save failed.
        """
        self._saved_s = time.monotonic()
        if step == self.step:
            return
        run = self._run
        run.journal.flush()  # so that no checkpoint is on disk before the lines that led to it
        with run.phase("saving", step):
            values = run.trainer.towers.check_equal(step)
            if with_others:
                self._check_workers_equal(values, step)
            if run.is_chief:
                run.checkpoints.save(step, values, run.assembly.about(), self._saved)
        self.step = step

    def rescue(self, step: int) -> None:
        """Saves what the chief has of a step, once it has parted from the other workers. Raises StorageError.

        For the main thread, and for the watchdog's where the main thread waits for others.
        """
        with self._rescuing:
            if self._run.is_chief and step > self.step:
                self.save(step, with_others=False)
            self.wait()

    def wait(self) -> None:
        """Returns when no checkpoint is being written. Raises StorageError if the last save failed."""
        with self._run.clock.timing("saving"):
            self._run.checkpoints.wait()

    def set_aside_unchecked(self) -> tuple[int, list[int]]:
        """Renames the checkpoints since the last recheck without a difference: a wrong number may have gone into them.

        Returns the step of the newest other one, 0 if there is none, and the steps of those that were renamed.
        Raises StorageError.
        """
        self.wait()
        checkpoints, good = self._run.checkpoints, self._last_good()
        kept = max((step for step in checkpoints.steps() if step <= good), default=0)
        aside = [step for step in checkpoints.steps() if step > good]
        checkpoints.tidy(aside)
        return kept, aside

    def go_back(self, step: int) -> None:
        """Takes the checkpoint of this step for the last that was saved."""
        self.step = step

    def _last_good(self) -> int:
        """The step of the last recheck; that of the start before the first one."""
        last = self._run.journal.history.last_recheck
        return self._run.start.step if last is None else last

    def _kept(self) -> set[int]:
        """The steps of checkpoints that stay beside the newest: the best, the last before a recheck, a rollback's."""
        run = self._run
        steps, best = (
            run.checkpoints.steps(),
            run.journal.history.best_step(run.checkpoints.steps(), run.config.best_by),
        )
        kept = set() if best is None else {best}
        if run.config.recheck_every:
            kept |= {max((step for step in steps if step <= self._last_good()), default=0)}
        if run.config.on_divergence == "rollback" and run.config.checkpoint_every:
            kept |= {max((step for step in steps if step % run.config.checkpoint_every == 0), default=0)}
        return kept

    def _check_workers_equal(self, values: state.Snapshot, step: int) -> None:
        """Raises DivergedError naming the workers whose state is not the chief's."""
        if self._run.cluster.alone:
            return  # without a fingerprint of the state, which takes time
        if wrong := self._run.cluster.unequal(state.fingerprint(values)):
            raise DivergedError(
                f"at step {step} the state of {', '.join(wrong)} is not equal to that of worker 0; "
                "resume from the last checkpoint, and suspect that machine's memory"
            )

    def _saved(self, manifest: Manifest, seconds: float) -> None:
        """Reports a written checkpoint and prunes older ones, in the thread that wrote it."""
        run, step = self._run, manifest.step
        run.journal.event("checkpoint", step, seconds=round(seconds, 3), bytes=manifest.num_bytes)
        run.journal.terminal.detail(f"step {step}: checkpoint, {manifest.num_bytes:,} bytes, {seconds:.2f} s")
        try:
            run.checkpoints.prune(run.config.keep_checkpoints, also=self._kept())
        except OSError as error:  # a run does not stop for a file that cannot be deleted
            run.journal.progress(f"an old checkpoint cannot be deleted: {error.filename}: {error.strerror}")
