"""Initial values from elsewhere, for fine-tuning: from another run's newest checkpoint, or from a .keras file.

This acts at step 0 alone: what was taken lies in the first checkpoint, and no resume needs the source again. Its
parameters_sha256 is kept with the configuration, so that a start that finds another one there is refused.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from pipeline import models
from pipeline.config import Config
from pipeline.engine import state
from pipeline.errors import BadDataError, UsageError
from pipeline.models.variables import statistics_of
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage.files import expand

SHOWN_CHARACTERS = 200  # of Keras' own explanations, which fill screens


class Source(NamedTuple):
    """Arrays to start from."""

    name: str  # what it is called to the user
    arrays: Mapping[str, np.ndarray]  # by their names in a state: parameters/PATH, statistics/PATH
    in_order: bool  # whether they are in the order of a model's variables
    parameters_sha256: str


class Imported(NamedTuple):
    """A state at step 0, and where its parameters and statistics come from."""

    source: Source
    values: state.Values
    taken: list[str]
    fresh: dict[str, str]  # those that keep the model's own initial values -> why
    unused: list[str]  # arrays of the source
    how: str  # by name, or by order

    def as_event(self) -> dict[str, Any]:
        """The values of its line in metrics.jsonl."""
        said = {"how": self.how, "taken": self.taken, "fresh": self.fresh, "unused": self.unused}
        return {"source": self.source.name, "parameters_sha256": self.source.parameters_sha256, **said}

    def lines(self) -> list[str]:
        """Lines for people."""
        name, total = self.source.name, len(self.taken) + len(self.fresh)
        return [
            f"starts from {name}, {self.source.parameters_sha256[:16]}: {len(self.taken)} of {total} arrays {self.how}",
            *(f"  kept fresh: {name} ({why})" for name, why in self.fresh.items()),
            *(f"  not used: {name}" for name in self.unused),
        ]


def check(config: Config) -> None:
    """Raises UsageError unless something lies where --init_from says that may be a source; reads nothing of it."""
    path = _path(config)
    if config.init_from and not path.is_file() and not RunDirectory(path).config.is_file():
        raise UsageError(
            f"init_from={config.init_from} is no .keras file and holds no run; give FILE.keras, or a run's --run_dir"
        )


def source_of(config: Config) -> Source | None:
    """The source that --init_from names; None without one. TensorFlow's devices must be up.

    Raises UsageError if it is another than at the first start, BadDataError if it cannot be loaded, StorageError for a
    run whose checkpoints are all damaged.
    """
    if not config.init_from:
        return None
    check(config)
    source = _of_keras_file(config) if _path(config).is_file() else _of_run(config)
    if config.init_sha256 not in ("", source.parameters_sha256):
        raise UsageError(
            f"init_from={config.init_from} has parameters_sha256 {source.parameters_sha256}, not --init_sha256="
            f"{config.init_sha256}, from which this run was started; bring that back, or use another --run_dir"
        )
    return source


def match(initial: state.Values, source: Source) -> Imported:
    """`initial` with every parameter and statistic that the source has in the same shape; slots stay fresh.

    Arrays belong together by name. Where more of them fit by their order in the two models, as where a model elsewhere
    has other names for the same layers, they belong together by that. Raises UsageError if nothing fits.
    """
    needed = _of_model(initial)
    ways = {"by name": {name: name for name in needed if name in source.arrays}}
    if source.in_order:
        ways["by order"] = _by_order(needed, list(source.arrays))
    found = [_matched(initial, source, pairs, how) for how, pairs in ways.items()]
    best = max(found, key=lambda candidate: len(candidate.taken))  # the first of equals
    if not best.taken:
        raise UsageError(
            f"nothing in {source.name} ({_some(source.arrays)}) has a name and shape of this model "
            f"({_some({name: initial[name] for name in needed})}); give a source of the same --model, or no --init_from"
        )
    return best


def _path(config: Config) -> Path:
    return Path(expand(config.init_from, "init_from"))


def _of_run(config: Config) -> Source:
    restored = Checkpoints(RunDirectory(_path(config)).checkpoints).newest()
    if restored is None:
        raise UsageError(f"init_from={config.init_from} holds no checkpoint yet; wait for its first")
    arrays = {name: restored.values[name] for name in _of_model(restored.values)}
    name = f"ckpt-{restored.manifest.step} of {config.init_from}"
    return Source(name, arrays, False, restored.manifest.parameters_sha256)


def _of_keras_file(config: Config) -> Source:
    models.function(config.model)  # its module may register the classes that the file needs
    try:
        with keras.device("cpu:0"):
            model = keras.saving.load_model(_path(config), compile=False)
    except Exception as error:  # whatever a foreign file makes Keras, or a class that it names, raise
        reason = " ".join(str(error).split())[:SHOWN_CHARACTERS]
        raise BadDataError(
            f"init_from={config.init_from} cannot be loaded by Keras ({type(error).__name__}: {reason}); give a whole "
            ".keras file, whose own classes the module of --model registers"
        ) from error
    arrays = {f"parameters/{v.path}": v.numpy() for v in model.trainable_variables}
    arrays |= {f"statistics/{v.path}": v.numpy() for v in statistics_of(model)}
    return Source(config.init_from, arrays, True, state.parameters_sha256(arrays))


def _of_model(values: Mapping[str, np.ndarray]) -> list[str]:
    """The names of what belongs to the model itself, in order."""
    return [name for name in values if name.startswith(("parameters/", "statistics/"))]


def _by_order(needed: Sequence[str], there: Sequence[str]) -> dict[str, str]:
    """The n-th parameter here -> the n-th there, and so with statistics, where there are as many of them."""
    pairs: dict[str, str] = {}
    for kind in ("parameters/", "statistics/"):
        here, other = ([name for name in names if name.startswith(kind)] for names in (needed, there))
        pairs |= dict(zip(here, other, strict=True)) if len(here) == len(other) else {}
    return pairs


def _matched(initial: state.Values, source: Source, pairs: Mapping[str, str], how: str) -> Imported:
    values, taken, fresh = dict(initial), [], {}
    for name in _of_model(initial):
        array = source.arrays[pairs[name]] if name in pairs else None
        if array is not None and array.shape == initial[name].shape:
            values[name] = array.astype(initial[name].dtype)
            taken.append(name)
        else:
            there = "none there" if array is None else f"{list(array.shape)} there"
            fresh[name] = f"{list(initial[name].shape)} here, {there}"
    used = {pairs[name] for name in taken}
    return Imported(source, values, taken, fresh, [name for name in source.arrays if name not in used], how)


def _some(arrays: Mapping[str, np.ndarray]) -> str:
    shown = [f"{name} {list(array.shape)}" for name, array in arrays.items()]
    return ", ".join([*shown[:2], "..."] if len(shown) > 2 else shown)
