"""Runs small enough to compute within a test, and from any step."""

from pipeline.config import Config
from pipeline.engine import devices, state
from pipeline.engine.assembly import Assembly
from pipeline.engine.topology import Topology
from pipeline.engine.trainer import Trainer

SHARDS = 4  # of a step: each is traced
INTRA_OP_THREADS = 2  # as conftest.py sets it: TensorFlow takes it once a process


def config(**fields) -> Config:
    """A valid configuration of 4 shards of 4 examples; `fields` change it."""
    small = {
        "source": "fake:100",
        "model": "models_for_tests:batch_norm",
        "global_batch": 16,
        "grad_shards": SHARDS,
        "steps": 100,
        "decay_steps": 100,
        "learning_rate": 0.01,
        "intra_op_threads": INTRA_OP_THREADS,
        "variables": "replicated",
    }
    config = Config(**(small | fields))
    config.validate()
    return config


def topology(towers: int) -> Topology:
    return Topology(tuple(("CPU", index) for index in range(towers)))


def assembly(towers: int = 1, **fields) -> Assembly:
    asked, where = config(**fields), topology(towers)
    devices.start(where, asked)
    return Assembly(asked, where)


def trainer(towers: int = 1, values: state.Values | None = None, **fields) -> Trainer:
    """A trainer of the configuration that `fields` make, holding these values or the initial ones."""
    parts = assembly(towers, **fields)
    return Trainer(parts, parts.initial() if values is None else values)


def train(first: int, last: int, towers: int = 1, values: state.Values | None = None, **fields) -> state.Values:
    """The state at step `last` of a run that holds `values` at step `first`."""
    run = trainer(towers, values, **fields)
    run.advance(first, last)
    return state.arrays(run.towers.check_equal(last))
