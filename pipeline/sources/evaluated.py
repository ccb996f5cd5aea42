"""The examples that a trained model is evaluated on: its run's own, at the recorded place or another, or other data.

The run's own data have the splits of the training, wherever they lie. Other data may have any: without a split of the
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
    """The examples of a split of `config.source`, numbered by the model's classes.

    With a line on what they are where that is not the source of the run; else "".
    recorded: the run's configuration. trained: the run's own examples.
    Raises UsageError for a split that is not there, and BadDataError.
    """
    if config.source == recorded.source:
        named = Names(trained.class_names, "the model") if config.class_names else None  # its file may be gone
        own = sources.own_splits(config, named)
        return getattr(sources.completed(config, own), split), ""
    config = _for_other_data(config, recorded, trained)
    own = sources.own_splits(config, Names(trained.class_names, "the model", of_other_data=True))
    if (splits := _splits(config, own)) and fingerprints.is_part(splits.spec.fingerprint, trained.fingerprint):
        return getattr(splits, split), f"{config.source}: the data of the run"
    name = _name(config.source, own, split)
    part = "all" if len(own) == 1 else f"the {name} split"
    source = sources.of_size(config.size, own[name])
    return source, f"{config.source}: other data than the run's; {part}, {len(source):,} examples"


def _for_other_data(config: Config, recorded: Config, trained: ExampleSpec) -> Config:
    """With the model's size of images, and without the run's flags of another kind of source."""
    of_run = [flag for flag in sources.foreign(config) if getattr(config, flag) == getattr(recorded, flag)]
    left_out: dict[str, Any] = {flag: "" for flag in of_run if flag != "multi_label"}
    return dataclasses.replace(config, image_size="x".join(map(str, trained.image_shape[:2])), **left_out)


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
