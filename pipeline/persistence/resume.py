"""Whether a start may go on with what lies in its run directory, and as what."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import config as configuration
from pipeline.config import Config
from pipeline.exits import BadDataError, StorageError, UsageError
from pipeline.persistence.checkpoint import Restored
from pipeline.state import Values
from pipeline.topology import Topology


def settle(asked: Config, recorded: Config | None, checkpoints: Sequence[int], topology: Topology) -> Config:
    """The configuration to run with. PURE.

    asked: from the flags. recorded: of the run in the directory, if one lies there. checkpoints: the steps of
    those that lie there. Raises UsageError if --resume forbids it, if the numbers would change, or if the shards do not
    split over the towers; StorageError for checkpoints without a configuration.
    """
    if checkpoints and recorded is None:
        raise StorageError(
            f"{asked.run_dir} holds checkpoints but no config.flags; restore it, or use another --run_dir"
        )
    if asked.resume == "required" and not checkpoints:
        raise UsageError(f"resume=required, but {asked.run_dir} holds no checkpoint; check --run_dir, or --resume=auto")
    if asked.resume == "never" and checkpoints:
        raise UsageError(
            f"resume=never, but {asked.run_dir} holds checkpoints; use another --run_dir, or --resume=auto"
        )
    settled = configuration.resolve(asked if recorded is None else _continued(asked, recorded), topology.total_towers)
    settled.validate()
    topology.check_shards(settled.grad_shards, settled.all_reduce)
    return settled


def _continued(asked: Config, recorded: Config) -> Config:
    if asked.reshard:  # whatever is asked for, of which 0 then means anew: one per tower
        recorded = dataclasses.replace(recorded, grad_shards=asked.grad_shards)
    settled = configuration.keep(recorded, asked)
    if changed := configuration.differences(recorded, settled):
        raise UsageError(
            f"{asked.run_dir} was started with another configuration ({'; '.join(changed)}); "
            "use its own values, or another --run_dir"
        )
    return settled


def fitted(restored: Restored, initial: Values) -> Restored:
    """The checkpoint with its values in the order of `initial`, the model's own.

    Raises StorageError, naming the first array, unless it holds just what this model needs.
    """
    for name in sorted(initial.keys() | restored.values.keys()):
        needed, found = _described(initial, name), _described(restored.values, name)
        if needed != found:
            raise StorageError(f"ckpt-{restored.manifest.step} is of another model: {name} is {found}, not {needed}")
    return dataclasses.replace(restored, values={name: restored.values[name] for name in initial})


def check_examples(restored: Restored, about: Mapping[str, Any]) -> None:
    """Raises BadDataError if the examples are not those that the checkpoint was trained on, as far as can be told."""
    for name, now in about["examples"].items():
        then = restored.manifest.examples[name]
        if then != now:
            raise BadDataError(
                f"the examples changed since ckpt-{restored.manifest.step}: {name} was {then} and is {now}, so that "
                "other steps would follow; bring the old examples back, or start another --run_dir"
            )


def _described(values: Values, name: str) -> str:
    return f"{values[name].dtype.name}{list(values[name].shape)}" if name in values else "absent"
