"""The formats of exports, by the names that --format takes.

To add a format, write a module and give it a line in FORMATS. The module has

* `NAME`: the file that it writes, "" for the whole directory;
* `write(network, directory)`: writes the export, and returns lines for its users;
* `load(directory) -> Runner`: loads it with the format's own runtime, for the comparison with `predict`.
"""

import importlib
import importlib.util
from types import ModuleType
from typing import NamedTuple

from pipeline.errors import UsageError


class Format(NamedTuple):
    """A format: its module, and the extra packages that the module needs."""

    module: str  # imported at its first use
    packages: tuple[str, ...] = ()


FORMATS = {
    "savedmodel": Format("savedmodel"),
    "keras": Format("keras_file"),
    "tflite": Format("tflite"),
    "onnx": Format("onnx_file", ("onnx", "onnxruntime", "tf2onnx")),
}


def check(name: str) -> None:
    """Raises UsageError if a package that the format needs is not installed; imports nothing."""
    missing = [package for package in FORMATS[name].packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UsageError(
            f"format={name} needs {' '.join(missing)}; pip install {' '.join(missing)}, or take another --format"
        )


def module(name: str) -> ModuleType:
    """The module of a format."""
    return importlib.import_module(f"pipeline.serving.formats.{FORMATS[name].module}")
