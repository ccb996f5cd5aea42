"""The work that is due between two steps: a pure function of the configuration and the step."""

import dataclasses

from pipeline.config import Config
from pipeline.text.flag_values import Steps


@dataclasses.dataclass(frozen=True)
class Cadence:
    """The intervals of a run, in steps; 0 stands for never."""

    steps: int  # the step at which the run ends
    steps_per_loop: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    summary_every: int
    recheck_every: int
    profile: Steps  # the traced steps; each needs its own call

    @classmethod
    def from_config(cls, config: Config) -> "Cadence":
        """The intervals that a configuration asks for."""
        return cls(
            config.steps,
            config.steps_per_loop,
            config.log_every,
            config.eval_every,
            config.checkpoint_every,
            config.summary_every,
            config.recheck_every,
            config.profile_window,
        )

    def next_boundary(self, step: int) -> int:
        """The step at which a call of the trainer that begins at `step` must end: the next one with due work."""
        intervals = (self.log_every, self.eval_every, self.checkpoint_every, self.summary_every)
        due = [step - step % every + every for every in intervals if every]
        if self.recheck_every:
            end = step - step % self.recheck_every + self.recheck_every
            due.append(end if self.rechecks(step) else end - 1)
        if step < self.profile.end:
            due.append(max(self.profile.first, step + 1))
        return min([step + self.steps_per_loop, self.steps, *due])

    def logs(self, step: int) -> bool:
        """Whether a report of the step's figures is due."""
        return _due(step, self.log_every)

    def evaluates(self, step: int) -> bool:
        """Whether an evaluation on the validation split is due."""
        return _due(step, self.eval_every)

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is due."""
        return _due(step, self.checkpoint_every)

    def rechecks(self, step: int) -> bool:
        """Whether the step itself, which needs a call of its own, is to be rechecked."""
        return self.recheck_every > 0 and (step + 1) % self.recheck_every == 0

    def shows_gradients(self, step: int) -> bool:
        """Whether histograms of gradients are due, as they are at step 0."""
        return self.summary_every > 0 and step % self.summary_every == 0

    def shows_parameters(self, step: int) -> bool:
        """Whether histograms of parameters are due: with those of gradients, with every evaluation, and at the end."""
        return self.shows_gradients(step) or self.evaluates(step) or step == self.steps


def _due(step: int, every: int) -> bool:
    return step > 0 and every > 0 and step % every == 0
