"""What every entry point builds from a configuration, in one order: devices, examples, model, state, towers."""

import copy
import dataclasses
import json
from functools import cached_property
from typing import Any

import keras

from pipeline import models, sources
from pipeline.config import Config
from pipeline.engine import devices, optimizers, state
from pipeline.engine.plan import Plan
from pipeline.engine.topology import Topology
from pipeline.engine.towers import Towers, on_host
from pipeline.sources.base import ExampleSpec, Splits
from pipeline.workers.cluster import Cluster


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A configuration's parts. Making one starts TensorFlow's devices, and waits for those of all workers.

    Each part is made when first asked for.
    """

    config: Config
    topology: Topology
    recorded_spec: ExampleSpec | None = None  # known from a checkpoint: then nothing here needs the examples

    def __post_init__(self):
        devices.start(self.topology, self.config)
        self.cluster.start()

    @cached_property
    def cluster(self) -> Cluster:
        """All workers together."""
        return Cluster(self.topology, self.config)

    @cached_property
    def splits(self) -> Splits:
        """The examples. Raises BadDataError."""
        with on_host(self.topology):
            return sources.open_splits(self.config)

    @property
    def spec(self) -> ExampleSpec:
        """What the model must know of the examples."""
        return self.recorded_spec or self.splits.spec

    @cached_property
    def model(self) -> keras.Model:
        """The model, with its initial values."""
        spec, config = self.spec, self.config
        return models.build(config.model, spec.image_shape, len(spec.class_names), config.seed, config.precision)

    @cached_property
    def plan(self) -> Plan:
        """Which examples belong to which step."""
        config = self.config
        return Plan(config.seed, config.global_batch, config.grad_shards, self.spec.num_train)

    def initial(self) -> state.Values:
        """The state at step 0."""
        return state.initial(self.model, optimizers.make(self.config), self.config)

    def started_from(self, init_sha256: str) -> "Assembly":
        """The same parts, of a configuration that names what --init_from was."""
        same = copy.copy(self)  # the devices are started, the model is made
        object.__setattr__(same, "config", dataclasses.replace(self.config, init_sha256=init_sha256))
        return same

    def towers(self, values: state.Values) -> Towers:
        """The towers, holding these values."""
        return Towers(self.topology, self.config.variables, values)

    def about(self) -> dict[str, Any]:
        """What a checkpoint's manifest says of the run: its `config` and its `examples`, as JSON has them."""
        return json.loads(json.dumps({"config": self.config.mathematics(), "examples": dataclasses.asdict(self.spec)}))
