"""The data that a trained model is evaluated on, where they are not at the place that its run recorded.

The run's own data, copied elsewhere, have the splits of the training. Other data may have any: without a split of the
name, validation is the test split, and data without splits are evaluated whole.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import PipelineError, UsageError
from pipeline.sources import fingerprints
from pipeline.sources.base import ExampleSpec, Source, Splits
from pipeline.sources.classes import Names


def opened(config: Config, recorded: Config, trained: ExampleSpec, split: str) -> tuple[Source, str]:
    """The examples of a split of `config.source`, numbered by the model's classes, and a line on what they are.

    recorded: the run's configuration; of it, flags of another kind of source do not count.
    trained: the run's own examples. Raises UsageError for a split that is not there, and BadDataError.
    """
    config = dataclasses.replace(config, class_names="", image_size="x".join(map(str, trained.image_shape[:2])))
    of_run = [flag for flag in sources.foreign(config) if getattr(config, flag) == getattr(recorded, flag)]
    left_out: dict[str, Any] = {flag: "" for flag in of_run if flag != "multi_label"}
    config = dataclasses.replace(config, **left_out)
    own = sources.own_splits(config, Names(trained.class_names, "the model", of_model=True))
    if (splits := _splits(config, own)) and fingerprints.is_part(splits.spec.fingerprint, trained.fingerprint):
        return getattr(splits, split), f"{config.source}: the data of the run"
    name = _name(config.source, own, split)
    part = "all" if len(own) == 1 else f"the {name} split"
    source = sources.of_size(config.size, own[name])
    return source, f"{config.source}: other data than the run's; {part}, {len(source):,} examples"


def _splits(config: Config, own: Mapping[str, Source]) -> Splits | None:
    """The splits that a training on these data has; None where it would be refused."""
    try:
        return sources.completed(config, own)
    except PipelineError:
        return None


def _name(spec: str, own: Mapping[str, Source], split: str) -> str:
    """The name of the split to take of those that the data have. Raises UsageError."""
    wanted = {"test": ("test", "validation")}.get(split, (split,))
    known = [name for name in wanted if name in own] + ["train"] * (list(own) == ["train"])
    if not known:
        raise UsageError(f"source={spec} has no {split} split, but {' and '.join(own)}; give one of them as --split")
    return known[0]
