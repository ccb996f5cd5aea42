"""Fine-tuning: initial values from another run's newest checkpoint, or from a .keras or .h5 file.

The source is read only at step 0: the first checkpoint holds the imported values, and no resume needs the source again.
The configuration keeps the source's parameters_sha256. A start from step 0 that finds another source there is refused.
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
from pipeline.models.names import KERAS
from pipeline.models.variables import statistics_of
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_directory import RunDirectory
from pipeline.storage.files import expand

SHOWN_CHARACTERS = 200  # of Keras' own explanations, which fill screens


class Source(NamedTuple):
    """The arrays of another model."""

    name: str  # its name in messages
    arrays: Mapping[str, np.ndarray]  # by their names in a state: parameters/PATH, statistics/PATH
    in_order: bool  # whether the arrays are in the order of the model's variables
    parameters_sha256: str


class Imported(NamedTuple):
    """A state at step 0, with the origin of its parameters and statistics."""

    source: Source
    values: state.Values
    taken: list[str]  # names of the arrays from the source
    fresh: dict[str, str]  # names of the arrays that keep the model's own initial values -> reason
    unused: list[str]  # names of the source's other arrays
    how: str  # by name, or by order

    def as_event(self) -> dict[str, Any]:
        """The values of the line "import" in metrics.jsonl."""
        arrays = {"how": self.how, "taken": self.taken, "fresh": self.fresh, "unused": self.unused}
        return {"source": self.source.name, "parameters_sha256": self.source.parameters_sha256, **arrays}

    def lines(self) -> list[str]:
        """The report for people, line by line."""
        name, total = self.source.name, len(self.taken) + len(self.fresh)
        return [
            f"starts from {name}, {self.source.parameters_sha256[:16]}: {len(self.taken)} of {total} arrays {self.how}",
            *(f"  kept fresh: {name} ({reason})" for name, reason in self.fresh.items()),
            *(f"  not used: {name}" for name in self.unused),
        ]


def check(config: Config) -> None:
    """Raises UsageError unless --init_from names a file or a run directory; does not read it."""
    path = _path(config)
    if config.init_from and not path.is_file() and not RunDirectory(path).config.is_file():
        raise UsageError(
            f"init_from={config.init_from} is no .keras file and holds no run; give FILE.keras, or a run's --run_dir"
        )
    if path.suffix == ".h5" and not config.model.startswith(KERAS):
        raise UsageError(
            f"init_from={config.init_from} holds weights without their model, which are read for --model={KERAS}NAME "
            "alone; give a .keras file"
        )


def source_of(config: Config) -> Source | None:
    """The source that --init_from names; None without the flag. TensorFlow's devices must be up.

    Raises UsageError if its parameters are not those of the first start, BadDataError if it cannot be loaded, and
    StorageError for a run whose checkpoints are all damaged.
    """
    if not config.init_from:
        return None
    check(config)
    source = _read_keras_file(config) if _path(config).is_file() else _read_run(config)
    if config.init_sha256 not in ("", source.parameters_sha256):
        raise UsageError(
            f"init_from={config.init_from} has parameters_sha256 {source.parameters_sha256}, but this run was started "
            f"from --init_sha256={config.init_sha256}; bring that source back, or use another --run_dir"
        )
    return source


def match(initial: state.Values, source: Source) -> Imported:
    """`initial`, with every parameter and statistic that the source has in the same shape; slots stay fresh.

    Arrays are paired by name, or by their order in the two models if more of them fit so: another project may have
    other names for the same layers. Raises UsageError if nothing fits.
    """
    needed = _model_names(initial)
    ways = {"by name": {name: name for name in needed if name in source.arrays}}
    if source.in_order:
        ways["by order"] = _by_order(needed, list(source.arrays))
    candidates = [_matched(initial, source, pairs, how) for how, pairs in ways.items()]
    best = max(candidates, key=lambda candidate: len(candidate.taken))  # the first of equals
    if not best.taken:
        own = {name: initial[name] for name in needed}
        raise UsageError(
            f"nothing in {source.name} ({_excerpt(source.arrays)}) has a name and shape of this model "
            f"({_excerpt(own)}); give a source of the same --model, or no --init_from"
        )
    return best


def _path(config: Config) -> Path:
    return Path(expand(config.init_from, "init_from"))


def _read_run(config: Config) -> Source:
    restored = Checkpoints(RunDirectory(_path(config)).checkpoints).newest()
    if restored is None:
        raise UsageError(f"init_from={config.init_from} holds no checkpoint yet; wait for its first")
    arrays = {name: restored.values[name] for name in _model_names(restored.values)}
    name = f"ckpt-{restored.manifest.step} of {config.init_from}"
    return Source(name, arrays, False, restored.manifest.parameters_sha256)


def _read_keras_file(config: Config) -> Source:
    models.function(config.model)  # the model's module may register the classes that the file needs
    path = _path(config)
    try:
        with keras.device("cpu:0"):
            model = _published(config, path) if path.suffix == ".h5" else keras.saving.load_model(path, compile=False)
    except Exception as error:  # a foreign file, or a class that it names, may make Keras raise anything
        reason = " ".join(str(error).split())[:SHOWN_CHARACTERS]
        raise BadDataError(
            f"init_from={config.init_from} cannot be loaded by Keras ({type(error).__name__}: {reason}); give a whole "
            "file of that model, whose own classes the module of --model registers"
        ) from error
    arrays = {f"parameters/{v.path}": v.numpy() for v in model.trainable_variables}
    arrays |= {f"statistics/{v.path}": v.numpy() for v in statistics_of(model)}
    return Source(config.init_from, arrays, True, state.parameters_sha256(arrays))


def _published(config: Config, path: Path) -> keras.Model:
    """Keras' own network with the weights of a file that was saved with its classes on top, or without."""
    from pipeline.models import applications

    name = config.model.removeprefix(KERAS)
    without_top = applications.network(name, include_top=False)
    try:
        without_top.load_weights(path)
        return without_top
    except ValueError:  # it has other layers
        with_top = applications.network(name, include_top=True)
        with_top.load_weights(path)
        return with_top


def _model_names(values: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the model's parameters and statistics, in order."""
    return [name for name in values if name.startswith(("parameters/", "statistics/"))]


def _by_order(needed: Sequence[str], offered: Sequence[str]) -> dict[str, str]:
    """The n-th parameter needed -> the n-th offered, if their numbers are equal; statistics likewise."""
    pairs: dict[str, str] = {}
    for kind in ("parameters/", "statistics/"):
        own, others = ([name for name in names if name.startswith(kind)] for names in (needed, offered))
        pairs |= dict(zip(own, others, strict=True)) if len(own) == len(others) else {}
    return pairs


def _matched(initial: state.Values, source: Source, pairs: Mapping[str, str], how: str) -> Imported:
    values, taken, fresh = dict(initial), [], {}
    for name in _model_names(initial):
        array = source.arrays[pairs[name]] if name in pairs else None
        if array is not None and array.shape == initial[name].shape:
            values[name] = array.astype(initial[name].dtype)
            taken.append(name)
        else:
            other = "none there" if array is None else f"{list(array.shape)} there"
            fresh[name] = f"{list(initial[name].shape)} here, {other}"
    used = {pairs[name] for name in taken}
    return Imported(source, values, taken, fresh, [name for name in source.arrays if name not in used], how)


def _excerpt(arrays: Mapping[str, np.ndarray]) -> str:
    """The first two names with their shapes."""
    texts = [f"{name} {list(array.shape)}" for name, array in arrays.items()]
    return ", ".join([*texts[:2], "..."] if len(texts) > 2 else texts)
