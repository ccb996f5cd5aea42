"""The conditions of figures, found without an import of TensorFlow."""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

VENV_PYTHON = Path(__file__).parent.parent / ".venv-peers" / "bin" / "python"
PREFIX = "PEERS_"  # of variables: PEERS_PYTHON, PEERS_LD_LIBRARY_PATH, PEERS_PYTHONPATH


def peers_python() -> Path:
    """The Python that has PyTorch: PEERS_PYTHON, or this one, or that of benchmarks/peers_venv.sh."""
    if named := os.environ.get(f"{PREFIX}PYTHON"):
        return Path(named)
    return Path(sys.executable) if importlib.util.find_spec("torch") else VENV_PYTHON


def peers_environment() -> dict[str, str]:
    """The variables of PyTorch's processes: PEERS_X, where it is set, stands for X, so that they need not share paths.

    This is for LD_LIBRARY_PATH and PYTHONPATH, which may name the CUDA libraries that TensorFlow needs.
    """
    own = {name: os.environ[PREFIX + name] for name in ("LD_LIBRARY_PATH", "PYTHONPATH") if PREFIX + name in os.environ}
    return os.environ | own


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
        **{name: _version(name) for name in ("tensorflow", "keras", "numpy")},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # its files alone are there
        return "of an unknown version"


def gpus() -> list[str]:
    """The model of each GPU, as NVIDIA's driver names them."""
    if program := shutil.which("nvidia-smi"):
        ended = subprocess.run([program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
        if ended.returncode == 0 and ended.stdout.strip():
            return ended.stdout.strip().splitlines()
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]


def pytorch_version() -> str:
    """The version of PyTorch in the peers' environment; '' if there is none."""
    python = peers_python()
    if not python.exists():
        return ""
    command = [str(python), "-c", "import torch; print(torch.__version__)"]
    ended = subprocess.run(command, capture_output=True, text=True, env=peers_environment())
    if ended.returncode:
        print(ended.stderr, file=sys.stderr)
    return ended.stdout.strip()
