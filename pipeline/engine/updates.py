"""The effect of a step's gradient on every replica: the update, the loss scale, the running mean of --average."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from pipeline.config import Config
from pipeline.engine import averaging, ema, lookahead, loss_scale, optimizers, schedules
from pipeline.engine.forward import ShardSums
from pipeline.engine.staging import Staging
from pipeline.engine.state import Replica
from pipeline.engine.towers import Towers


class _Judged(NamedTuple):
    """What is known of a step's gradient before anything is updated."""

    norm: tf.Tensor  # [] float32, before clipping
    finite: tf.Tensor  # [] bool
    diverged: tf.Tensor  # [] bool
    applies: tf.Tensor  # [] bool
    gradients: list[tf.Tensor]  # clipped


class Updates:
    """The optimizer of a configuration, bound to the towers whose replicas it updates."""

    def __init__(self, config: Config, towers: Towers, trained: Sequence[str]):
        """trained: the paths of the parameters that are updated, in the order of their gradients."""
        self._config, self._towers, self._trained = config, towers, trained
        self._optimizer = optimizers.make(config)
        self._staging = Staging(towers, len(self._optimizer.slots)) if towers.update_elsewhere else None
        # On a CPU it gains nothing. Updates through copies pass from device to device, and XLA has one.
        compiles = config.jit and towers.run_behind and not self._staging
        self._apply = [self._compiled(replica) for replica in towers.replicas] if compiles else None

    def at(self, step: tf.Tensor) -> optimizers.Now:
        """The learning rate of a step, and the other numbers that all variables' updates share."""
        with self._towers.on_host(), tf.name_scope("learning_rate"):
            return self._optimizer.at(schedules.learning_rate(self._config, step), step)

    def scale(self) -> tf.Tensor | None:
        """The present loss scale, [] float32, on the first tower; None for a precision without one."""
        with self._towers.on(0):
            return loss_scale.read(self._towers.replicas[0].variables)

    def unscaled(self, sums: ShardSums) -> ShardSums:
        """The sums, divided by the loss scale, on the first tower."""
        scale = self.scale()
        if scale is None:
            return sums
        with self._towers.on(0):
            return sums._replace(loss=sums.loss / scale, gradients=[g / scale for g in sums.gradients])

    def apply(
        self, sums: ShardSums, now: optimizers.Now, step: tf.Tensor, going: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Updates every replica by the same numbers. A step that is not finite, or not `going`, changes none.

        Returns the gradient's norm [] float32, and whether the step diverged [] bool. A float16 step that is not finite
        is skipped; it has diverged only where the loss scale cannot fall further.
        """
        if self._apply:
            # Each replica gets the norm from the same numbers by the same program: to send it would be a wait.
            results = []
            for replica, apply in zip(self._towers.replicas, self._apply, strict=True):
                with self._towers.at(replica), tf.name_scope("apply"):
                    results.append(apply(sums, *now[:3], step, going))
            return results[0]
        with self._towers.on(0):
            judged = self._judge(sums, going, self.scale())
        for replica in self._towers.replicas:
            with self._towers.at(replica):
                self._apply_to(replica, sums, judged, now, step, going)
        return judged.norm, judged.diverged

    def _compiled(self, replica: Replica) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        """A replica's whole update as one program of XLA."""

        def apply(sums: ShardSums, *numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            *shared, step, going = numbers
            judged = self._judge(sums, going, loss_scale.read(replica.variables))
            self._apply_to(replica, sums, judged, self._optimizer.now(*shared), step, going)
            return judged.norm, judged.diverged

        return tf.function(apply, jit_compile=True, autograph=False)

    def _judge(self, sums: ShardSums, going: tf.Tensor, scale: tf.Tensor | None) -> _Judged:
        norm = optimizers.norm(sums.gradients)
        finite = tf.math.is_finite(norm) & tf.math.is_finite(sums.loss)
        gradients = optimizers.clip(sums.gradients, norm, self._config.clip_norm)
        diverged = ~finite if scale is None else ~finite & (scale <= loss_scale.LEAST)
        return _Judged(norm, finite, diverged, finite & going, gradients)

    def _apply_to(
        self, replica: Replica, sums: ShardSums, judged: _Judged, now: optimizers.Now, step: tf.Tensor, going: tf.Tensor
    ) -> None:
        """Updates the replica, the loss scale and the averages in it, on the device in force."""
        update = functools.partial(self._update, replica, judged.gradients, sums.statistics, now)
        with tf.name_scope("apply"):
            self._where(judged.applies, update)
            if self._config.precision == "float16":
                loss_scale.update(replica.variables, judged.finite, going)
        counts = going & ~judged.diverged  # also a float16 step that was skipped
        current = [*replica.parameters, *replica.statistics]
        if rule := self._config.lookahead_rule:
            with tf.name_scope("lookahead"):
                copies = [v for group in replica.slow for v in group]
                meet = functools.partial(lookahead.update, current, copies, rule, self._config.decay_steps, step)
                self._where(counts, meet)
        if self._config.average:
            with tf.name_scope("average"):
                window = self._config.average_window
                means = functools.partial(averaging.update, replica.parameters, replica.averages, window, step)
                self._where(counts, means)
        if self._config.ema:
            with tf.name_scope("ema"):
                averages = [v for group in replica.ema for v in group]
                self._where(counts, functools.partial(ema.update, current, averages, self._config.ema, step))

    def _where(self, condition: tf.Tensor, change: Callable[[tf.Tensor | None], tf.Operation]) -> None:
        """Makes a change if the condition holds, [] bool. GPU towers mask it: a branch would wait for the host.

        change: makes it where a mask, [] bool, is true; None: in any case.
        """
        if self._towers.run_behind:
            change(condition)
        else:
            tf.cond(condition, functools.partial(change, None), tf.no_op)

    def _update(
        self,
        replica: Replica,
        gradients: Sequence[tf.Tensor],
        statistics: Sequence[tf.Tensor],
        now: optimizers.Now,
        mask: tf.Tensor | None,
    ) -> tf.Operation:
        if mask is not None:
            now = now.masked(mask)
        for path, gradient in zip(self._trained, gradients, strict=True):
            variable, own_slots = replica.parameter(path), replica.slots(path, self._optimizer.slots)
            update = functools.partial(self._optimizer.apply, gradient=gradient, now=now)
            if self._staging:
                self._staging.update(variable, own_slots, update)
            else:
                update(variable, own_slots)
        for variable, total in zip(replica.statistics, statistics, strict=True):
            mean = total / self._config.grad_shards
            variable.assign(mean if mask is None else tf.where(mask, mean, variable))
        return tf.no_op()
