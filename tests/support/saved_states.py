"""Small checkpoints: states that differ by their step, saved in one call."""

import numpy as np

from pipeline.engine import state
from pipeline.runs.checkpoints import Checkpoints

SPEC = {"image_shape": [28, 28, 1], "class_names": ["ant", "bee"], "num_train": 50}
ABOUT = {"config": {"seed": 1, "grad_shards": 2}, "examples": SPEC}


def values(step: int) -> state.Values:
    """A state that no two steps share."""
    return {
        "parameters/conv1/kernel": np.arange(600, dtype=np.float32).reshape(20, 30) + step,
        "slots/m/conv1/kernel": np.full([20, 30], step, np.float32),
        "loss_scale/good_steps": np.int64(step),
    }


def save(directory, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(directory)
    for step in steps:
        checkpoints.save(step, values(step), ABOUT, lambda manifest, seconds: None)
    checkpoints.wait()
    return checkpoints


def assert_holds(restored, step: int) -> None:
    assert restored.manifest.step == step
    assert state.state_sha256(restored.values, step) == state.state_sha256(values(step), step)


def files(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def flip(path, position: int) -> None:
    """Turns one bit over."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << position % 8
    path.write_bytes(content)
