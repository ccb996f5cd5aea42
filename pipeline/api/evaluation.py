"""The scores of a checkpoint on a split, in this process."""

from collections.abc import Mapping
from typing import Any

from pipeline.api import arguments, opening
from pipeline.api.arguments import Value
from pipeline.errors import UsageError
from pipeline.runs.run_directory import RunDirectory

SPLITS = ("train", "validation", "test")


def require_split(split: str) -> None:
    """Raises UsageError for what is no split."""
    if split not in SPLITS:
        raise UsageError(f"split={split} is unknown; known: {', '.join(SPLITS)}")


def evaluate(
    directory: RunDirectory,
    split: str,
    checkpoint: str,
    parameters: str | None,
    flags: Mapping[str, Value],
    trust_code: bool,
) -> dict[str, Any]:
    """See `Run.evaluate`, and `load`."""
    require_split(split)
    execution = arguments.for_reading(flags)
    saved, step, assembly, towers = opening.opened(directory, checkpoint, parameters, execution, trust_code)
    from pipeline.monitoring import scorecard

    tally = saved.tally(assembly, towers, split)
    return scorecard.event(split, step, tally, assembly.spec.class_names, execution.get("source"))
