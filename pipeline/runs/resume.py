"""Checks whether a start may resume from a checkpoint: its arrays must fit the model, its examples must be the same."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline import sources
from pipeline.engine import hardware
from pipeline.engine.state import Values
from pipeline.errors import BadDataError, StorageError, UsageError
from pipeline.runs.checkpoints import Restored
from pipeline.sources import fingerprints


def fitted(restored: Restored, initial: Values) -> Restored:
    """The checkpoint, with its values in the order of `initial`, the model's own.

    Raises StorageError, naming the first array that differs, unless it holds exactly the arrays of this model.
    """
    for name in sorted(initial.keys() | restored.values.keys()):
        needed, saved = _described(initial, name), _described(restored.values, name)
        if needed != saved:
            raise StorageError(f"ckpt-{restored.manifest.step} is of another model: {name} is {saved}, not {needed}")
    return dataclasses.replace(restored, values={name: restored.values[name] for name in initial})


def check_examples(restored: Restored, about: Mapping[str, Any]) -> None:
    """Raises BadDataError if the examples are not those that the checkpoint was trained on.

    A manifest of before 0.2.0 has no fingerprint of the examples, so only their shape, classes and number are compared;
    their source must be the same.
    """
    configs = restored.manifest.config, about["config"]
    source_then, source_now = (sources.normalized(config.get("source", "")) for config in configs)
    if source_then != source_now and not restored.manifest.examples.get("fingerprint"):
        raise BadDataError(
            f"ckpt-{restored.manifest.step} was written before 0.2.0 and does not say what its examples were, so "
            f"source={source_now} may hold others; give --source={source_then}"
        )
    for name, now in about["examples"].items():
        then = restored.manifest.examples.get(name, "")
        if then == now or (name == "fingerprint" and not then):
            continue
        change = f"{name} was {then} and is {now}"
        if name == "fingerprint":
            change = f"other {fingerprints.differences(then, now)}"
        raise BadDataError(
            f"the examples changed since ckpt-{restored.manifest.step}: {change}, so that other steps would follow; "
            "bring the old examples back, or start another --run_dir"
        )


def check_hardware(restored: Restored) -> None:
    """Raises UsageError if this machine may compute other bits than the one that saved the checkpoint."""
    if changed := hardware.changes(restored.manifest.hardware, hardware.conditions()):
        raise UsageError(
            f"same_hardware=required, but ckpt-{restored.manifest.step} was computed on other hardware "
            f"({'; '.join(changed)}); go back to it, or give --same_hardware=told to go on with other bits"
        )


def _described(values: Values, name: str) -> str:
    return f"{values[name].dtype.name}{list(values[name].shape)}" if name in values else "absent"
