"""The versions and the hardware that decide what a worker computes, to be compared with others'."""

import hashlib
import importlib.metadata
import platform
from pathlib import Path

import pipeline
from pipeline.engine.hardware import conditions

_PACKAGES = ("tensorflow", "keras", "numpy")


# How to make a condition of `conditions` equal on all workers.
REMEDIES = {
    "machine": "start the workers on machines of one kind",
    "processor": "start the workers on hosts with processors of one model",
    "instructions": "give all workers the same ONEDNN_MAX_CPU_ISA, such as AVX2, or processors of one model",
    "gpus": "start the workers on hosts with GPUs of one model",
    "cuda": "give all hosts the same driver and the same CUDA libraries",
    "variables": "set these variables for all workers alike, or for none",
}


def versions() -> dict[str, str]:
    """All that must be equal for workers to compute as one does, by name.

    The version of this project, with a hash of its code, of Python, and of each package ('none' if absent); and the
    conditions that this process's machine and environment set (`engine.hardware`).
    """
    return {
        "pipeline": f"{pipeline.__version__}-{_hash_of_code()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        **conditions(),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _hash_of_code() -> str:
    package = Path(pipeline.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:8]
