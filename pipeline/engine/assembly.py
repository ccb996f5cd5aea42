"""The parts that a configuration describes: the examples, the model, the plan, the state at step 0."""

import dataclasses
import json
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from pipeline import augment, models, sources
from pipeline.config import BALANCED, Config
from pipeline.engine import class_weights, evaluation, example_weights, optimizers, state
from pipeline.engine.evaluation import Evaluator, Gather
from pipeline.engine.hardware import conditions
from pipeline.engine.losses import BinaryCrossEntropy, CrossEntropy, Loss
from pipeline.engine.plan import Plan, Rollback
from pipeline.engine.sampling import Balanced
from pipeline.engine.topology import Topology
from pipeline.engine.towers import Towers, on_host
from pipeline.metrics import names
from pipeline.metrics.names import Names
from pipeline.models.variables import trained_of
from pipeline.sources import fingerprints
from pipeline.sources.base import ExampleSpec, Middle, Source, Splits
from pipeline.sources.decoded import DecodedCache
from pipeline.sources.labels import Weights


class Assembly:
    """A configuration's parts. Each is made at its first use, after `devices.start` has brought the devices up."""

    def __init__(self, config: Config, topology: Topology, recorded_spec: ExampleSpec | None = None):
        """recorded_spec: the examples as a checkpoint recorded them; with it, the model needs no examples."""
        self.config, self.topology, self._recorded_spec = config, topology, recorded_spec
        self.rollbacks: tuple[Rollback, ...] = ()  # of the run until now
        self._decoded = DecodedCache(config.decoded_cache_mib << 20)
        self._evaluated_often: dict[str, Source] = {}  # the splits that are evaluated more than once

    @cached_property
    def splits(self) -> Splits:
        """The examples. Raises BadDataError."""
        with on_host(self.topology):
            return sources.open_splits(self.config)

    @cached_property
    def train(self) -> Source:
        """The training examples, whose pictures later epochs need not decode again. Raises BadDataError."""
        always_windows = augment.has_windows(self.config.augmentation) and not self.config.augment_steps
        return self.splits.train if always_windows else self.kept(self.splits.train)

    def evaluated(self, split: str) -> Source:
        """The examples of a split as an evaluation sees them. Raises BadDataError."""
        return self.as_evaluated(getattr(self.splits, split))

    def as_evaluated(self, source: Source) -> Source:
        """Examples as an evaluation sees them."""
        share = self.config.eval_crop
        return source if share == 1 else Middle(source, share)

    def evaluated_often(self, split: str) -> Source:
        """A split for several evaluations, of which the later ones need not decode its pictures again."""
        if split not in self._evaluated_often:
            self._evaluated_often[split] = self.kept(self.evaluated(split))
        return self._evaluated_often[split]

    def kept(self, source: Source) -> Source:
        """The same examples, whose pictures stay decoded after they were read, if memory is left for all of them."""
        return self._decoded.of(source)

    @property
    def spec(self) -> ExampleSpec:
        """The facts about the examples that the model depends on: their shape, classes and number.

        Weights that a file gives the classes are part of their fingerprint.
        """
        if self._recorded_spec:
            return self._recorded_spec
        spec, weights = self.splits.spec, self._class_weights
        if weights is None or self.config.class_weights == BALANCED:
            return spec
        digest = fingerprints.digest(weights)
        return dataclasses.replace(spec, fingerprint=f"{spec.fingerprint}; train class weights={digest}")

    @cached_property
    def loss(self) -> Loss:
        """The loss of training. Raises BadDataError for weights that do not fit the examples."""
        smoothing, weights = self.config.label_smoothing, self._class_weights
        loss: Loss = CrossEntropy(smoothing, weights, dense=not self.topology.all_on_cpu)
        if self.config.multi_label:
            loss = BinaryCrossEntropy(smoothing, weights)
        return loss if self.example_weights is None else example_weights.Weighted(loss)

    @cached_property
    def example_weights(self) -> Weights | None:
        """The weights of the training examples, whose mean is 1; None: there are none. Raises BadDataError."""
        return example_weights.of(self.splits.train)

    @property
    def weighs(self) -> str:
        """Whose weights the training's loss has, for people; "" if it has none."""
        of_classes = "classes" if self.config.class_weights else ""
        recorded = self._recorded_spec  # an evaluation may be on other data
        weighed = "train weights=" in recorded.fingerprint if recorded else self.splits.train.weights is not None
        of_examples = "examples" if weighed else ""
        return " and ".join(filter(None, (of_classes, of_examples)))

    @cached_property
    def _class_weights(self) -> npt.NDArray[np.float32] | None:
        config = self.config
        if not config.class_weights:
            return None
        train = self.splits.train
        evenly = config.sampling == BALANCED
        return class_weights.of(config.class_weights, train.labels, train.class_names, evenly)

    @property
    def metrics(self) -> Names:
        """The metrics of evaluations. Raises UsageError for one that the examples do not have."""
        return names.settled(self.config.metric_names, len(self.spec.class_names), self.config.multi_label)

    @cached_property
    def model(self) -> keras.Model:
        """The model, with its initial values."""
        spec, config = self.spec, self.config
        about = config.model, spec.image_shape, len(spec.class_names), config.seed, config.precision
        return models.build(*about, config.normalization, config.views)

    @cached_property
    def trained(self) -> list[keras.Variable]:
        """The parameters that --freeze leaves to be trained. Raises UsageError."""
        return trained_of(self.model, self.config.frozen)

    @property
    def plan(self) -> Plan:
        """The plan: the examples of every shard of every step."""
        config = self.config
        numbers = config.seed, config.global_batch, config.grad_shards, self.spec.num_train
        return Plan(*numbers, self.rollbacks, self._sampling)

    @cached_property
    def _sampling(self) -> Balanced | None:
        if self.config.sampling == "once":
            return None
        train = self.splits.train
        with on_host(self.topology):
            return Balanced(train.labels, train.class_names)

    @property
    def eval_batch(self) -> int:
        """Examples in a tower's batch of an evaluation or prediction."""
        return self.config.eval_batch or evaluation.batch_for(self.spec.image_shape)

    def initial(self) -> state.Values:
        """The state at step 0."""
        return state.initial(self.model, self.trained, optimizers.make(self.config), self.config)

    def towers(self, values: state.Values) -> Towers:
        """The towers, holding these values."""
        return Towers(self.topology, self.config.variables, values)

    def evaluator(self, towers: Towers, gather: Gather = lambda own: [own], ema: bool = False) -> Evaluator:
        """The evaluator of the model on these towers, with the metrics that the configuration asks for.

        gather, ema: as `Evaluator` takes them.
        """
        config, metrics = self.config, self.metrics
        return Evaluator(self.model, towers, self.eval_batch, gather, ema, config.multi_label, metrics)

    def about(self) -> dict[str, Any]:
        """The fields of a manifest that describe the run, in types of JSON.

        They are `config`, `examples`, `hardware` and `rollbacks`.
        """
        about = {"config": self.config.mathematics(), "examples": dataclasses.asdict(self.spec)}
        return json.loads(json.dumps(about | {"hardware": conditions(), "rollbacks": self.rollbacks}))
