"""Formats to take a trained model elsewhere in, by the name that --format gives.

To add one, write a module and give it a line in FORMATS. It has `NAME`, the file that it writes ("" for the whole
directory), `write(network, directory)`, which returns lines that its user must know, and `load(directory) -> Runner` by
the format's own runtime, since every export is compared with what `predict` says.
"""

import importlib
import importlib.util
from types import ModuleType
from typing import NamedTuple

from pipeline.errors import UsageError


class Format(NamedTuple):
    """A format: the module that writes it, and the packages that this one needs beside the project's own."""

    module: str  # imported when it is asked for
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
            f"format={name} needs what is not installed; pip install {' '.join(missing)}, or take another --format"
        )


def module(name: str) -> ModuleType:
    """The module of a format."""
    return importlib.import_module(f"pipeline.serving.formats.{FORMATS[name].module}")
