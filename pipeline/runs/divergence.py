"""A step that diverged: what was not finite, and the rollback from it to a checkpoint."""

import json

import numpy as np

from pipeline.engine import state
from pipeline.engine.outcome import Gradient
from pipeline.engine.plan import Rollback
from pipeline.errors import DivergedError
from pipeline.runs import resume, starting_point
from pipeline.runs.run import Run
from pipeline.runs.saving import Saver
from pipeline.runs.scoring import Scorer
from pipeline.runs.starting_point import StartingPoint

REMEDY = "Lower --learning_rate, or bound the gradient with --clip_norm, in another --run_dir"


class Divergence:
    """Stops an open run at a step that diverged, or takes it back. All workers call it alike."""

    def __init__(self, run: Run, saver: Saver, scorer: Scorer):
        self._run, self._saver, self._scorer = run, saver, scorer

    def go_back(self, step: int) -> int:
        """Takes the run back from a step that diverged; returns the step to go on from.

        That is the newest multiple of --checkpoint_every, whatever other checkpoints lie there: so the steps that
        follow do not depend on stops and kills. Raises StorageError, and DivergedError unless a rollback is asked for
        and possible.
        """
        run = self._run
        gradient = self._gradient_at(step)
        variables = [name for name, value in gradient.by_parameter.items() if not np.isfinite(value).all()]
        run.checkpoints.wait()
        every = run.config.checkpoint_every
        target = step - step % every if every else 0
        obstacle = self._obstacle(target)
        if obstacle is not None:
            run.journal.event("diverged", step, loss=gradient.loss, variables=variables)
            raise self._error(step, gradient.loss, variables, obstacle)
        with run.phase("rollback", step):
            return self._restored(Rollback(target, step), gradient.loss, variables)

    def _gradient_at(self, step: int) -> Gradient:
        """The gradient of a step, computed once more, to name the variables."""
        self._run.job.phases.enter("diverged", step)
        return self._run.trainer.gradient(step)

    def _obstacle(self, target: int) -> str | None:
        """Why there is no rollback, as the end of a sentence; None if there is one."""
        run = self._run
        if run.config.on_divergence == "stop":
            return ""
        if len(run.assembly.rollbacks) >= run.config.max_rollbacks:
            return f"; it was rolled back --max_rollbacks={run.config.max_rollbacks} times before"
        found = any(saved <= target for saved in run.checkpoints.steps()) if run.is_chief else None
        if json.loads(run.cluster.broadcast(json.dumps(found).encode())):
            return None
        return f"; there is no checkpoint up to step {target} to go back to"

    def _error(self, step: int, loss: float, variables: list[str], obstacle: str) -> DivergedError:
        saved = self._saver.step
        kept = f"the last good checkpoint is of step {saved}" if saved else "no checkpoint was due yet"
        return DivergedError(
            f"at step {step} the loss is {loss} and the gradient of {', '.join(variables) or 'no variable'} is not "
            f"finite; nothing of it was applied, and {kept}{obstacle}. {REMEDY}"
        )

    def _restored(self, rollback: Rollback, loss: float, variables: list[str]) -> int:
        """Restores the state, and drops all that was told and saved of later steps.

        A kill on the way costs nothing: without the rollback's line the same steps diverge again.
        """
        run = self._run
        values = state.arrays(run.trainer.towers.replicas[0].read())
        point = StartingPoint(0, {}, ())
        if run.is_chief:
            restored = run.checkpoints.newest(lambda candidate: resume.fitted(candidate, values), most=rollback.step)
            assert restored is not None, "`_obstacle` saw a checkpoint"
            values = restored.values
            point = StartingPoint.at(restored.manifest.step, run.journal.history)
            run.checkpoints.tidy(restored.passed_over)
            run.checkpoints.drop_after(point.step)
        point, values = starting_point.from_chief(run.cluster, point, values)
        run.assembly.rollbacks += (rollback,)
        run.trainer.go_back(values)
        run.journal.go_back(point.step)
        self._saver.go_back(point.step)
        self._scorer.go_back(point.step)
        self._tell(rollback, loss, variables)
        return point.step

    def _tell(self, rollback: Rollback, loss: float, variables: list[str]) -> None:
        run, (step, diverged) = self._run, rollback
        run.journal.event("rollback", step, diverged=diverged, loss=loss, variables=variables)
        text = (
            f"step {diverged} diverged (loss {loss}): back to step {step}, and on with the examples after those of "
            f"{rollback.skipped} steps; rollback {len(run.assembly.rollbacks)} of {run.config.max_rollbacks}"
        )
        run.journal.text("run/rollbacks", text, step)
        run.journal.progress(text)
