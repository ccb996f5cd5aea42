"""The paths of manifests, and the newest step among them. A reader of these needs no TensorFlow."""

import re
from pathlib import Path


def path(directory: Path, step: int) -> Path:
    """The path of a step's manifest. It is written last: if it exists, the checkpoint is whole."""
    return directory / f"ckpt-{step}.manifest.json"


def newest_step(directory: Path) -> int:
    """The highest step with a manifest; -1 if there is none, or the directory cannot be listed. Costs one listing."""
    try:
        names = [entry.name for entry in directory.iterdir()]
    except OSError:
        return -1
    return max((int(m[1]) for name in names if (m := re.fullmatch(r"ckpt-(\d+)\.manifest\.json", name))), default=-1)
