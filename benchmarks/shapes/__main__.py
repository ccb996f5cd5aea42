"""Writes the folder that the arguments ask for."""

import argparse
from pathlib import Path

import numpy as np

from benchmarks import shapes
from pipeline.process.startup import import_tensorflow


def main() -> None:
    """Parses the arguments, draws and writes the files, and prints their number."""
    parser = argparse.ArgumentParser("python -m benchmarks.shapes", description=shapes.__doc__.split(":")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--train", type=int, default=20_000, help="training examples (default: 20,000)")
    parser.add_argument("--test", type=int, default=5_000, help="test examples (default: 5,000)")
    parser.add_argument("--side", type=int, default=32, help="pixels, height and width (default: 32)")
    options = parser.parse_args()
    import_tensorflow()
    from benchmarks.shapes import drawing

    splits = {"train": np.arange(options.train), "test": drawing.TEST_START + np.arange(options.test)}
    drawing.write(options.directory, splits, options.side)
    print(f"{options.directory}: {options.train} training and {options.test} test examples of ", end="")
    print(f"{len(drawing.CLASS_NAMES)} classes, {options.side} x {options.side}")


if __name__ == "__main__":
    main()
