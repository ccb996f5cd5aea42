"""The data of a checkpoint on disk: written, hashed and verified by several threads.

A large state is written in several parts of about one size, as TensorFlow's own checkpoints may be: each thread writes
one and hashes it, while others hash the state itself.
"""

import hashlib
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from pipeline.engine import state
from pipeline.storage.files import sync
from pipeline.storage.reading import open_regular

PART_BYTES = 1 << 26  # of a part, at least, where there are several
PARTS = 4  # at most; also the number of files that are verified at once
_BLOCK = 1 << 20  # bytes that are read and hashed together
Described = dict[str, Any]  # {"bytes": ..., "sha256": ...}


class Written(NamedTuple):
    """What was written: the files by name, and the hashes of the state."""

    files: dict[str, Described]
    parameters_sha256: str
    state_sha256: str


def write(directory: Path, step: int, values: state.Snapshot, global_step: str) -> Written:
    """Writes ckpt-STEP.index and ckpt-STEP.data-*, synced to the disk. Raises OSError and tf.errors.OpError.

    global_step: the name by which the step stands beside the values.
    """
    tensors = {**values, global_step: tf.constant(step, tf.int64)}
    prefix, parts = directory / f"ckpt-{step}", _parts(tensors)
    prefixes = [prefix] if len(parts) == 1 else [directory / f"part-{i}" for i in range(len(parts))]
    with ThreadPoolExecutor(PARTS + 2) as threads:
        data = list(threads.submit(_write_part, *part) for part in zip(prefixes, parts, strict=True))
        hashes = threads.submit(state.parameters_sha256, values), threads.submit(state.state_sha256, values, step)
        described = [future.result() for future in data]
        if len(parts) > 1:
            tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=list(map(str, prefixes)), destination_prefix=str(prefix))
        index = Path(f"{prefix}.index")
        sync(index)
        files = {_data_name(prefix, i, len(parts)): each for i, each in enumerate(described)}
        return Written({**files, index.name: description(index)}, *(future.result() for future in hashes))


def descriptions(most: Mapping[Path, int]) -> dict[Path, Described | OSError]:
    """The description of each file, or why it cannot be read. most: the bytes of each; see `description`."""

    def look(path: Path) -> Described | OSError:
        try:
            return description(path, most[path])
        except OSError as error:
            return error

    with ThreadPoolExecutor(PARTS) as threads:
        return dict(zip(most, threads.map(look, most), strict=True))


def description(path: Path, most: int | None = None) -> Described:
    """The size and hash of a file. A file larger than `most` is not read and has hash "". Raises OSError."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            return {"bytes": size, "sha256": ""}
        while block := file.read(_BLOCK):
            digest.update(block)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _parts(tensors: state.Snapshot) -> list[state.Snapshot]:
    """The tensors in order of their names, in parts of about one number of bytes."""
    sizes = {name: tf.as_dtype(each.dtype).size * math.prod(each.shape) for name, each in sorted(tensors.items())}
    total = sum(sizes.values())
    count = max(1, min(PARTS, total // PART_BYTES))
    parts: list[state.Snapshot] = [{} for _ in range(count)]
    before = 0
    for name, size in sizes.items():
        middle = before + size / 2
        parts[min(int(middle * count / total), count - 1)][name] = tensors[name]
        before += size
    return [part for part in parts if part]


def _write_part(prefix: Path, tensors: state.Snapshot) -> Described:
    names = list(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=list(tensors.values())
    )
    path = prefix.with_name(_data_name(prefix, 0, 1))
    sync(path)
    return description(path)


def _data_name(prefix: Path, number: int, parts: int) -> str:
    return f"{prefix.name}.data-{number:05d}-of-{parts:05d}"
