"""The manifests of checkpoints: their fields, their form on disk, and the newest step among them.

This file needs no TensorFlow, so that a supervisor can read how far a run has come.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config import MOST_WHOLE
from pipeline.errors import StorageError
from pipeline.monitoring.history import LATEST
from pipeline.storage.reading import parse_json, read_small


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The description of a checkpoint, which lies beside its files."""

    step: int
    saved: float  # unix time
    parameters_sha256: str
    state_sha256: str
    files: dict[str, dict[str, Any]]  # name -> {"bytes": ..., "sha256": ...}
    config: dict[str, Any]
    examples: dict[str, Any]  # an ExampleSpec
    hardware: dict[str, str] = dataclasses.field(default_factory=dict)  # see hardware.conditions; {} before 0.2.0
    rollbacks: list[list[int]] = dataclasses.field(default_factory=list)  # the fields of each Rollback, in order

    def check(self) -> None:
        """Raises ValueError unless every field has its type, and `files` names exactly the files of one checkpoint.

        No manifest can make a reader open another path, or leave a data file out.
        """
        numbers = type(self.step) is int and self.step >= 0 and type(self.saved) in (int, float)
        hashes = all(isinstance(value, str) for value in (self.parameters_sha256, self.state_sha256))
        objects = all(isinstance(value, dict) for value in (self.files, self.config, self.examples, self.hardware))
        if not (numbers and hashes and objects and 0 <= self.saved <= LATEST):
            raise ValueError("a field is of another type")
        if not _is_spec(self.examples) or type(self.config.get("grad_shards")) is not int:
            raise ValueError("it does not say what the examples were, or the number of shards")
        if not isinstance(self.rollbacks, list) or not all(map(_is_rollback, self.rollbacks)):
            raise ValueError("its rollbacks are no list of steps")
        for name, said in self.files.items():
            if (
                not isinstance(said, dict)
                or type(said.get("bytes")) is not int
                or not isinstance(said.get("sha256"), str)
            ):
                raise ValueError(f"it does not say the bytes and the sha256 of {name}")
        total = max(len(self.files) - 1, 1)
        data = {f"ckpt-{self.step}.data-{i:05d}-of-{total:05d}" for i in range(total)}
        if self.files.keys() != {f"ckpt-{self.step}.index", *data}:
            raise ValueError(f"it names {', '.join(sorted(self.files)) or 'no files'}, which is no whole checkpoint")

    @property
    def num_bytes(self) -> int:
        """The size of the checkpoint's files."""
        return sum(file["bytes"] for file in self.files.values())


def path(directory: Path, step: int) -> Path:
    """The path of a step's manifest. It is written last: if it exists, the checkpoint is whole."""
    return directory / f"ckpt-{step}.manifest.json"


def read(directory: Path, step: int) -> Manifest:
    """The manifest of a step. Raises StorageError if it is missing or damaged."""
    file = path(directory, step)
    try:
        manifest = opened(parse_json(read_small(file)))
    except FileNotFoundError:
        raise StorageError(f"ckpt-{step} is not whole: {file} is missing") from None
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{file} is damaged or not a manifest: {error}") from None
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}") from None
    if manifest.step != step:
        raise StorageError(f"{file} is of another checkpoint (step {manifest.step}); it was renamed or copied here")
    return manifest


def newest_step(directory: Path) -> int:
    """The highest step with a manifest; -1 if there is none, or the directory cannot be listed. Costs one listing."""
    try:
        names = [entry.name for entry in directory.iterdir()]
    except OSError:
        return -1
    return max((step for name in names if (step := step_of(name)) is not None), default=-1)


def step_of(name: str) -> int | None:
    """The step whose manifest has this name; None for the names of other files."""
    match = re.fullmatch(r"ckpt-(\d+)\.manifest\.json", name)
    return int(match[1]) if match else None


def sealed(manifest: Manifest) -> dict[str, Any]:
    """The manifest as a JSON object, with the hash of its other fields."""
    fields = dataclasses.asdict(manifest)
    return {**fields, "sha256": _sha256_of(fields)}


def text(manifest: Manifest) -> str:
    """The content of a manifest's file."""
    return json.dumps(sealed(manifest), indent=1) + "\n"


def opened(sealed: dict[str, Any]) -> Manifest:
    """The manifest that `sealed` made. Raises ValueError, TypeError or KeyError for anything else."""
    fields = {name: value for name, value in dict(sealed).items() if name != "sha256"}
    if sealed["sha256"] != _sha256_of(fields):
        raise ValueError("its own hash is another")
    manifest = Manifest(**fields)
    manifest.check()
    return manifest


def _sha256_of(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _is_spec(examples: Mapping[str, Any]) -> bool:
    """Whether an object holds the fields of an ExampleSpec, of their types."""
    shape, names = examples.get("image_shape"), examples.get("class_names")
    if not (isinstance(shape, list) and isinstance(names, list) and isinstance(examples.get("fingerprint", ""), str)):
        return False
    numbers = [*shape, examples.get("num_train")]
    return len(numbers) == 4 and all(type(n) is int and n > 0 for n in numbers) and all(type(n) is str for n in names)


def _is_rollback(fields: Any) -> bool:
    """Whether they are the two steps of a rollback, the earlier one first."""
    return (
        isinstance(fields, list)
        and len(fields) == 2
        and all(type(n) is int for n in fields)
        and 0 <= fields[0] <= fields[1] <= MOST_WHOLE
    )
