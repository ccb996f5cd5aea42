"""What lies in the offline files of Weights & Biases: a log of records, as LevelDB has it, of its own messages."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lazily import Module

_messages = Module("wandb.proto.wandb_internal_pb2")
_HEADER, _BLOCK = 7, 1 << 15
_LAST = (1, 4)  # the types of a piece that ends a record: the whole, and its last


def points(run_dir: Path) -> list[tuple[int, dict[str, float]]]:
    """The steps of a run's one offline file, in order, each with its numbers."""
    [directory] = run_dir.glob("wandb/offline-run-*")
    found = []
    for record in _records(directory):
        if record.WhichOneof("record_type") == "history":
            items = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            step = items.pop("_step", record.history.step.num)
            found.append((step, {name: value for name, value in items.items() if not name.startswith("_")}))
    return found


def settings(run_dir: Path) -> dict:
    """The configuration in that file."""
    [directory] = run_dir.glob("wandb/offline-run-*")
    runs = [record.run for record in _records(directory) if record.WhichOneof("record_type") == "run"]
    return {item.key: json.loads(item.value_json) for item in runs[0].config.update}


def _records(directory: Path) -> Iterator[Any]:
    [path] = directory.glob("run-*.wandb")
    content, position, parts = path.read_bytes(), _HEADER, b""
    assert content[:4] in (b":W&B", b"")
    while position + _HEADER <= len(content):
        if _BLOCK - position % _BLOCK < _HEADER:  # too little for a piece: the rest of the block is empty
            position += _BLOCK - position % _BLOCK
            continue
        _checksum, length, kind = struct.unpack_from("<IHB", content, position)
        if position + _HEADER + length > len(content):  # it is being written
            return
        parts += content[position + _HEADER : position + _HEADER + length]
        position += _HEADER + length
        if kind in _LAST:
            yield _messages.Record.FromString(parts)
            parts = b""
