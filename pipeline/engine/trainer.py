"""A training step, and the loop of steps that is one TensorFlow function.

`Trainer.advance` calls that function. From there a batch goes through `_next_step`, `_step` and `_gradient` to
`forward.shard_sums` on its tower. The sums come back through the tree, the all-reduce and `updates`.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from pipeline.engine import exchange, failures, forward, placement, reduce, state
from pipeline.engine.assembly import Assembly
from pipeline.engine.batches import Batches
from pipeline.engine.checks import Check
from pipeline.engine.exchange import AllReduce, Total
from pipeline.engine.inlining import inlined
from pipeline.engine.outcome import Gradient, Outcome
from pipeline.engine.placement import Placement
from pipeline.engine.progress import Figures, KeptFigures, Progress
from pipeline.engine.recheck import Asked, Evidence, Recheck, Seen
from pipeline.engine.towers import Placed, Towers
from pipeline.engine.updates import Updates
from pipeline.models.variables import seeds_of

Batch = tuple[tf.Tensor, tf.Tensor]  # images [shards, shard_batch, h, w, c] uint8 and labels [shards, shard_batch]
Watch = Callable[[Sequence[Placed], tf.Tensor], None]  # (the sums of each shard, the factor of every example's loss)


class Trainer:
    """Binds towers, model and optimizer. The step is always an argument, never state."""

    def __init__(self, assembly: Assembly, values: state.Values, all_reduce: AllReduce = exchange.alone):
        """values: the state to start from. all_reduce: adds the sums of all workers."""
        config = assembly.config
        self.towers = Towers(assembly.topology, config.variables, values)
        self.placement: Placement | None = None  # known after the first `advance`
        self._config, self._assembly, self._model, self._all_reduce = config, assembly, assembly.model, all_reduce
        self._trained = [variable.path for variable in assembly.trained]
        self._updates = Updates(config, self.towers, self._trained)
        on_cpus = assembly.topology.all_on_cpu
        self._compute = forward.computing(assembly.model, assembly.trained, assembly.loss, config.jit, on_cpus)
        self._steps = tf.function(self._steps_traced, autograph=False)
        self._one_step = tf.function(self._one_step_traced, autograph=False)
        with self.towers.on_host():
            self._begun = tf.Variable(-1, dtype=tf.int64, name="begun")  # the step whose update has not been made yet
        with self.towers.on(0):
            self._figures = KeptFigures()
        self._is_in_call = False
        self._step_graph: tf.Graph | None = None
        self._follow_plan()

    def _follow_plan(self) -> None:
        """Takes the assembly's present plan. The function of steps gets its examples from outside, and stays."""
        assembly, config = self._assembly, self._config
        self._plan = assembly.plan
        changes = config.augmentation, config.augment_steps
        self._batches = Batches(self._plan, assembly.train, *changes, config.multi_label, assembly.example_weights)
        random_layers = len(seeds_of(assembly.model))
        self._recheck = Recheck(self.towers, self._plan, self._batches, self._compute, random_layers)
        self._rechecked = tf.function(self._rechecked_traced, autograph=False)
        self._gradient_alone = tf.function(self._gradient_traced, autograph=False)
        self._iterators: list[tf.data.Iterator] = []
        self._reached = -1  # the step whose examples the iterators give next

    def go_back(self, values: state.Values) -> None:
        """Sets the state to these values. The steps that follow are those of the assembly's present plan."""
        self.towers.load(values)
        self._is_in_call = False
        self._follow_plan()

    @property
    def reached(self) -> int:
        """The step of the present state, also after a call that other workers broke off; -1 where it is not known."""
        return int(self._begun.numpy()) if self._is_in_call else self._reached

    def advance(self, step: int, last: int, asked: float = exchange.NOTHING) -> Outcome:
        """Computes steps `step` to `last` - 1 and returns the last one's outcome as NumPy scalars.

        Ends at a step that diverges. If one worker `asked` to stop, all workers end after the first step.
        Raises BadDataError for an example that cannot be read, UsageError where memory or a kernel is lacking.
        """
        with self._explained(step, last):
            self._read_from(step)
            if self.towers.run_behind and self._all_reduce is exchange.alone:
                return self._reached_by(self._one_by_one(step, step + 1 if asked else last, asked))
            # What has no device of its own lies on the host: on the first GPU, the loop would wait for its own counter.
            with self.towers.on_host(), self._placed():
                steps = tf.constant(step, tf.int64), tf.constant(last, tf.int64)
                outcome = self._steps(self._iterators, *steps, tf.constant(asked, tf.float32))
            return self._reached_by(outcome.as_numpy())

    def _one_by_one(self, step: int, last: int, asked: float) -> Outcome:
        """The steps in a call each, of which the host makes the next while GPUs compute. A loop would wait for them."""
        self._figures.clear()
        now, waited = step, 0.0
        try:
            for now in range(step, last):
                began = time.perf_counter()
                batches = [self.towers.next_of(tower, iterator) for tower, iterator in enumerate(self._iterators)]
                waited += time.perf_counter() - began
                with self.towers.on_host(), self._placed():
                    self._one_step(batches, tf.constant(now, tf.int64))
        except BaseException:
            self._begun.assign(now)
            raise
        return Outcome.of_calls(step, self._figures.read_as_numpy(), asked, waited, len(self.towers))

    def _read_from(self, step: int) -> None:
        """Makes the iterators give the examples of this step next, for a call that begins with it."""
        self._begun.assign(step)
        self._is_in_call = True
        if step != self._reached:
            self._iterators = self.towers.iterators([self._batches.dataset(step, own) for own in self._shards()])

    def _reached_by(self, outcome: Outcome) -> Outcome:
        """The outcome of calls that have ended."""
        self._is_in_call = False
        self._reached = -1 if outcome.diverged else int(outcome.next_step)
        return outcome

    def advance_rechecked(
        self, step: int, todo: Sequence[Check], asked: float = exchange.NOTHING
    ) -> tuple[Outcome, Evidence]:
        """Computes one step as `advance` does, to the same bits, and the shards of the checks a second time.

        It has a TensorFlow function of its own, so all other steps stay as they are.
        """
        before = self.towers.read(0)  # the next update leaves these tensors alone
        with self._explained(step, step + 1):
            self._read_from(step)
            with self.towers.on_host(), self._placed():
                shards = Asked.of(todo, self.towers.topology)
                given = tf.constant(step, tf.int64), shards, tf.constant(asked, tf.float32)
                outcome, seen = self._rechecked(self._iterators, *given)
            return self._reached_by(outcome.as_numpy()), Evidence(before, *(value.numpy() for value in seen))

    def fingerprints(self, tower: int, step: int, shard: int, evidence: Evidence) -> np.ndarray:
        """The fingerprints of a shard of a rechecked step, computed once more on a tower: [tensors] int64."""
        with self._explained(step, step + 1):
            return self._recheck.alone(tower, evidence.before, step, shard, tf.constant(evidence.factor))

    def gradient(self, step: int) -> Gradient:
        """The averaged gradient that `step` would apply to the present parameters."""
        with self._explained(step, step + 1), self.towers.on_host():
            loss, gradients = self._gradient_alone(tf.constant(step, tf.int64))
        named = zip(self._trained, gradients, strict=True)
        return Gradient(float(loss), {name: gradient.numpy() for name, gradient in named})

    def graph(self) -> tf.compat.v1.GraphDef:
        """The graph of one step, with devices and shapes, as the first call traced it, without calls of functions."""
        assert self._step_graph is not None, "there has been no step"
        return inlined(self._step_graph.as_graph_def(add_shapes=True))

    # --- one call of TensorFlow: steps first, first + 1, ... last - 1 ---

    def _steps_traced(
        self, iterators: Sequence[tf.data.Iterator], first: tf.Tensor, last: tf.Tensor, asked: tf.Tensor
    ) -> Outcome:
        def more(*progress: tf.Tensor) -> tf.Tensor:
            now = Progress(*progress)
            going = (now.step < last) & (now.asking == exchange.NOTHING)
            return going if self.towers.run_behind else going & (self._figures.read().diverged == 0)

        def body(*progress: tf.Tensor) -> Progress:
            return self._next_step(iterators, asked, Progress(*progress))

        with self.towers.on_host():
            end = Progress(*tf.while_loop(more, body, self._begin(first), parallel_iterations=1))
            return Outcome.of(first, end, self._figures.read())

    def _one_step_traced(self, batches: Sequence[Batch], step: tf.Tensor) -> None:
        self._step_graph = self._step_graph or tf.compat.v1.get_default_graph()
        self._step(batches, step)

    def _rechecked_traced(
        self, iterators: Sequence[tf.data.Iterator], step: tf.Tensor, shards: Asked, asked: tf.Tensor
    ) -> tuple[Outcome, Seen]:
        seen: list[Seen] = []

        def watch(leaves: Sequence[Placed], factor: tf.Tensor) -> None:
            seen.append(self._recheck.see(leaves, step, factor, shards))

        end = self._next_step(iterators, asked, self._begin(step), watch)
        with self.towers.on_host():
            return Outcome.of(step, end, self._figures.read()), seen[0]

    def _begin(self, first: tf.Tensor) -> Progress:
        """The state of a loop before its first step."""
        with self.towers.on(0):
            self._figures.clear()
        with self.towers.on_host():
            no_time, of_towers = tf.zeros([], tf.float64), tf.zeros([len(self.towers)], tf.float64)
            return Progress(first, tf.constant(exchange.NOTHING), no_time, no_time, of_towers)

    def _next_step(
        self,
        iterators: Sequence[tf.data.Iterator],
        asked: tf.Tensor,
        progress: Progress,
        watch: Watch | None = None,
    ) -> Progress:
        self._step_graph = self._step_graph or tf.compat.v1.get_default_graph()
        with self.towers.on_host():  # the loop begins a step when all of the one before is done
            begun = self._begun.assign(progress.step, read_value=False)
        with tf.control_dependencies([begun]):
            batches, seconds = self.towers.next_of_all(iterators)
        of_towers: list[tf.Tensor] = []

        def look(leaves: Sequence[Placed], factor: tf.Tensor) -> None:
            of_towers.append(self.towers.seconds_of(batches, leaves))
            if watch:
                watch(leaves, factor)

        total = self._step(batches, progress.step, asked, look)
        with self.towers.on_host():
            waited = progress.input_seconds + seconds, progress.reduction_seconds + total.seconds
            computed = progress.tower_seconds + of_towers[0]
            return Progress(progress.step + 1, tf.identity(total.asking), *waited, computed)

    def _step(
        self,
        batches: Sequence[Batch],
        step: tf.Tensor,
        asked: tf.Tensor | float = 0.0,
        watch: Watch | None = None,
    ) -> Total:
        """Computes and applies one step, unless one before has diverged."""
        now = self._updates.at(step)
        total = self._gradient(batches, step, asked, watch)
        with self.towers.on(0):
            before = self._figures.read()
            going = before.diverged == 0
        norm, diverged = self._updates.apply(total.sums, now, step, going)
        with self.towers.on(0):
            failed = tf.cast(diverged, tf.float32)
            latest = Figures(before.applied + 1 - failed, failed, total.sums.loss, total.sums.correct, norm, now.rate)
            self._figures.keep(latest, going)
        return total

    def _gradient(
        self,
        batches: Sequence[Batch],
        step: tf.Tensor,
        asked: tf.Tensor | float = 0.0,
        watch: Watch | None = None,
    ) -> Total:
        """The sums over the global batch, on the first tower, without the loss scale.

        Each shard is computed on its tower, and one fixed tree adds them. batches: one for each tower of this worker.
        asked: [] float32, what this worker asks for. watch: is shown the sums of each shard.
        """
        seeds, factor = self._before_towers(step)
        leaves = [leaf for k, batch in enumerate(batches) for leaf in self._on_tower(k, batch, seeds, factor)]
        if watch:
            watch(leaves, factor)
        total = self._all_reduce(reduce.tree(leaves, self.towers.add).sums, step, asked)
        return total._replace(sums=self._updates.unscaled(total.sums))

    def _on_tower(
        self, tower: int, batch: Batch, seeds: Sequence[Sequence[tf.Tensor]], factor: tf.Tensor
    ) -> list[Placed]:
        """The sums of each of a tower's shards. At most `shards_at_once` are computed, and in memory, at a time."""
        parameters, statistics = self.towers.read(tower)
        at_once = self._config.shards_at_once or (0 if self.towers.topology.on_cpu(tower) else 1)
        own: list[Placed] = []
        with self.towers.on(tower):
            for i, shard in enumerate(self.towers.shards_of(tower, self._plan.grad_shards)):
                with tf.name_scope(f"shard_{shard}"):
                    images, labels = (part[i] for part in batch)
                    if 0 < at_once <= i:
                        with tf.control_dependencies(tf.nest.flatten(own[i - at_once].sums)):
                            images = tf.identity(images)
                    drawn = [layer[shard] for layer in seeds]
                    own.append(Placed(tower, self._compute(parameters, statistics, drawn, images, labels, factor)))
        return own

    def _before_towers(self, step: tf.Tensor) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """The shards' seeds for every random layer, and the factor of every example's loss."""
        with self.towers.on_host(), tf.name_scope("seeds"):
            layers = len(seeds_of(self._model))
            seeds = [tf.unstack(s) for s in tf.unstack(self._plan.dropout_seeds(step, layers))] if layers else []
            factor = tf.constant(1 / self._plan.global_batch)
        scale = self._updates.scale()
        if scale is None:
            return seeds, factor
        with self.towers.on(0):  # where the scale may lie; the host would wait for it
            return seeds, factor * scale

    # --- around the call ---

    def _shards(self) -> list[range]:
        return [self.towers.shards_of(tower, self._plan.grad_shards) for tower in range(len(self.towers))]

    def _batches_at(self, step: tf.Tensor) -> list[Batch]:
        with self.towers.on_host(), tf.name_scope("input"):
            return [self._batches.at(step, shards) for shards in self._shards()]

    def _gradient_traced(self, step: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        sums = self._gradient(self._batches_at(step), step).sums
        return sums.loss, sums.gradients

    @contextlib.contextmanager
    def _placed(self) -> Iterator[None]:
        """Reads the placement from the first call that is made inside."""
        if self.placement is not None:
            yield
            return
        with placement.collect() as collected:
            yield
        variables = [v for replica in self.towers.replicas for v in replica.variables.values()]
        self.placement = placement.read(collected.graphs, variables)

    @contextlib.contextmanager
    def _explained(self, step: int, last: int) -> Iterator[None]:
        def find_broken() -> None:
            with self.towers.on_host():
                self._batches.find_broken(step, last)

        with failures.explained("global_batch", find_broken):
            yield
