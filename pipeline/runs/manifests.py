"""Where a checkpoint's manifest lies: whoever only asks how far a run came needs no TensorFlow for it."""

import re
from pathlib import Path


def path(directory: Path, step: int) -> Path:
    """The manifest of a step's checkpoint; it is moved there last, so where it lies, the checkpoint is whole."""
    return directory / f"ckpt-{step}.manifest.json"


def newest_step(directory: Path) -> int:
    """The highest step with a manifest; -1 if there is none, or nobody can look. Costs one listing."""
    try:
        names = [entry.name for entry in directory.iterdir()]
    except OSError:
        return -1
    return max((int(m[1]) for name in names if (m := re.fullmatch(r"ckpt-(\d+)\.manifest\.json", name))), default=-1)
