"""Named arrays as bytes, to be sent between workers."""

import io
from collections.abc import Mapping

import numpy as np


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays, with their names, types and shapes, as bytes."""
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)  # type: ignore[arg-type]  # mypy takes any name for savez's own
    return packed.getvalue()


def unpack(packed: bytes) -> dict[str, np.ndarray]:
    """The arrays that `pack` packed."""
    with np.load(io.BytesIO(packed)) as arrays:
        return {name: arrays[name] for name in arrays.files}
