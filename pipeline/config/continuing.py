"""The configuration of a first start, and of one that continues a run."""

import dataclasses
import os
from typing import Any

from pipeline.config.configuration import Config
from pipeline.config.fields import KEPT


def differences(recorded: Config, asked: Config) -> list[str]:
    """The changes of mathematics between a recorded and an asked configuration, as 'name: recorded -> asked'."""
    before, after = recorded.mathematics(), asked.mathematics()
    return [f"{name}: {before[name]} -> {after[name]}" for name in before if before[name] != after[name]]


def keep_recorded(recorded: Config, asked: Config) -> Config:
    """`asked`, with the recorded value in every KEPT field that it leaves at 0 or ""."""
    kept = {name: recorded.role(KEPT)[name] for name, value in asked.role(KEPT).items() if not value}
    return dataclasses.replace(asked, **kept)


def resolve(config: Config, num_towers: int) -> Config:
    """A first start's configuration, with a value chosen for every KEPT field that is 0."""
    chosen: dict[str, Any] = {
        "grad_shards": config.grad_shards or num_towers,
        "decay_steps": config.decay_steps or config.steps,
        "intra_op_threads": config.intra_op_threads or len(os.sched_getaffinity(0)),
    }
    return dataclasses.replace(config, **chosen)
