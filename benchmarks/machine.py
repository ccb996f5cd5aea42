"""The conditions of figures, found without an import of TensorFlow."""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PEERS_PYTHON = Path(__file__).parent.parent / ".venv-peers" / "bin" / "python"


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The options, and the conditions that the figures depend on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "gpus": gpus(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
    }


def gpus() -> list[str]:
    """The model of each GPU, as NVIDIA's driver names them."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]


def pytorch_version() -> str:
    """The version of PyTorch in the peers' environment; '' if there is none."""
    if not PEERS_PYTHON.exists():
        return ""
    ended = subprocess.run(
        [PEERS_PYTHON, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True
    )
    if ended.returncode:
        print(ended.stderr, file=sys.stderr)
    return ended.stdout.strip()
