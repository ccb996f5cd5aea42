"""The launch scripts as tests run them: with the project's own .venv, in the project's directory."""

import os
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
LAUNCH = PROJECT / "launch"
STEPS = 600
FLAGS = (
    "--source=fake:600",
    "--model=convolutional",
    "--global_batch=24",
    "--grad_shards=2",
    "--intra_op_threads=2",
    f"--steps={STEPS}",
    "--log_every=10",
    "--checkpoint_every=50",
    "--eval_every=0",
)


def missing() -> str:
    """Why the launch scripts cannot be run here; '' if they can."""
    asked = f"source {LAUNCH}/venv.sh && is_installed ''"
    ready = subprocess.run(["bash", "-c", asked], capture_output=True).returncode == 0
    return "" if ready else "launch scripts need .venv as ./launch/test.sh makes it"


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, as a user's shell would have it: without GPUs, and without a word of TensorFlow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHON", "PYTEST_"))}
    return {**kept, "CUDA_VISIBLE_DEVICES": "-1", **changes}
