"""The versions that decide what a worker computes, to be compared with others'."""

import hashlib
import importlib.metadata
import platform
from pathlib import Path

import pipeline

_PACKAGES = ("tensorflow", "keras", "numpy")


def versions() -> dict[str, str]:
    """The version of this project, with a hash of its code, of Python, and of each package ('none' if absent)."""
    return {
        "pipeline": f"{pipeline.__version__}-{_hash_of_code()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
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
