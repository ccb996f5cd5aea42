"""What every entry point builds from a configuration, in one order: devices, examples, model, state, towers."""

import dataclasses
from functools import cached_property

import keras

from pipeline import devices, models, optimizers, sources, state
from pipeline.config import Config
from pipeline.plan import Plan
from pipeline.sources.base import Splits
from pipeline.topology import Topology
from pipeline.towers import Towers


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A configuration's parts. Making one starts TensorFlow's devices; each part is made when first asked for."""

    config: Config
    topology: Topology

    def __post_init__(self):
        devices.start(self.topology, self.config)

    @cached_property
    def splits(self) -> Splits:
        """The examples. Raises BadDataError."""
        return sources.open_splits(self.config)

    @cached_property
    def model(self) -> keras.Model:
        """The model, with its initial values."""
        example = self.splits.train
        config = self.config
        return models.build(config.model, example.image_shape, len(example.class_names), config.seed, config.precision)

    @cached_property
    def plan(self) -> Plan:
        """Which examples belong to which step."""
        config = self.config
        return Plan(config.seed, config.global_batch, config.grad_shards, len(self.splits.train))

    def initial(self) -> state.Values:
        """The state at step 0."""
        return state.initial(self.model, optimizers.make(self.config), self.config.precision)

    def towers(self, values: state.Values) -> Towers:
        """The towers, holding these values."""
        return Towers(self.topology, self.config.variables, values)
