"""Hashes of a data set's examples: two workers, or two starts of a run, must see equal ones.

A source has one hash of each kind of thing that makes its examples, as file names, labels and file sizes. No hash
depends on where the data lies.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Fingerprint = Mapping[str, str]  # kind -> hash; a kind is named as in a message: "file names", "labels"


def digest(*parts: bytes | str | int | npt.NDArray[np.generic]) -> str:
    """16 hexadecimal digits that depend on every byte of the parts, and on where each of them ends."""
    total = hashlib.sha256()
    for part in parts:
        content = np.ascontiguousarray(part).view(np.uint8).data if isinstance(part, np.ndarray) else _bytes(part)
        total.update(f"{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()[:16]


def of_slice(fingerprint: Fingerprint, start: int, stop: int) -> Fingerprint:
    """Of the examples [start, stop) of a source with that fingerprint."""
    return {kind: digest(value, start, stop) for kind, value in fingerprint.items()}


def text(splits: Mapping[str, Fingerprint]) -> str:
    """One line for a manifest, as 'train labels=0123456789abcdef; test labels=...'."""
    return "; ".join(f"{split} {kind}={value}" for split, kinds in splits.items() for kind, value in kinds.items())


def differences(then: str, now: str) -> str:
    """The kinds that differ between two texts, as 'labels in train, test; file sizes in test'; '' if none does."""
    before, after = _parsed(then), _parsed(now)
    if before.keys() != after.keys():
        return "" if then == now else "the kind of source"
    changed: dict[str, list[str]] = {}
    for split, kind in before:
        if before[split, kind] != after[split, kind]:
            changed.setdefault(kind, []).append(split)
    return "; ".join(f"{kind} in {', '.join(splits)}" for kind, splits in changed.items())


def is_part(now: str, whole: str) -> bool:
    """Whether a text has nothing but what another has, which may know of more: weights of classes are no source's."""
    return _parsed(now).items() <= _parsed(whole).items()


def _parsed(line: str) -> dict[tuple[str, str], str]:
    """'train file names=ab; ...' -> {("train", "file names"): "ab", ...}; what cannot be read is one entry."""
    parsed = {}
    for part in line.split("; "):
        name, _, value = part.partition("=")
        split, _, kind = name.partition(" ")
        parsed[split, kind] = value
    return parsed


def _bytes(part: bytes | str | int) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode(errors="surrogateescape")
