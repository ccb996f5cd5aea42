"""The launch scripts as tests run them: with the project's own .venv, in the project's directory."""

import importlib.util
import os
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
LAUNCH = PROJECT / "launch"


def missing() -> str:
    """Why the launch scripts cannot be run here; '' if they can."""
    asked = f"source {LAUNCH}/venv.sh && is_installed ''"
    ready = subprocess.run(["bash", "-c", asked], capture_output=True).returncode == 0
    return "" if ready else "launch scripts need .venv as ./launch/test.sh makes it"


def several_workers() -> str:
    """Why no job of several workers can train yet; '' if one can."""
    return "" if importlib.util.find_spec("pipeline.cluster") else "training with several workers is not there yet"


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, as a user's shell would have it: without GPUs, and without a word of TensorFlow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHON", "PYTEST_"))}
    return {**kept, "CUDA_VISIBLE_DEVICES": "-1", **changes}
