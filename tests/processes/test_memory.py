"""A data set may be larger than memory: what a training takes of it does not grow with the number of images."""

import os

import commands
import numpy as np

from benchmarks.shapes import drawing

SIDE = 128
MORE = 12_000  # images, which would be 590 MB decoded
ALLOWED_BYTES = 60 * 2**20  # of names, and of what one run differs from the next anyway


def add_links(directory, count):
    """Other names for the files of each class in a directory, as many in all: no disk is needed for them."""
    classes = sorted(directory.iterdir())
    for path in classes:
        files = sorted(path.iterdir())
        for i in range(count // len(classes)):
            os.link(files[i % len(files)], path / f"again{i}.jpg")


def peak_bytes(source, run_dir):
    """The largest resident set of a short training, its evaluation included."""
    process = commands.start(
        "train", f"--source={source}", "--model=dense", "--steps=4", "--eval_batch=20", f"--run_dir={run_dir}"
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.communicate()[1] == "" and process.returncode == 0
    return usage.ru_maxrss * 1024


def test_memory_does_not_grow_with_a_folder(tmp_path):
    directory = tmp_path / "shapes"
    drawing.write(directory, {"train": np.arange(50), "test": drawing.TEST_START + np.arange(20)}, SIDE)
    # The same validation images in both, which are few.
    (directory / "test").rename(directory / "validation")
    drawing.write(directory, {"test": drawing.TEST_START + np.arange(20)}, SIDE)
    small = peak_bytes(f"folder:{directory}", tmp_path / "small")
    add_links(directory / "train", MORE)
    large = peak_bytes(f"folder:{directory}", tmp_path / "large")
    assert large - small < ALLOWED_BYTES < MORE * SIDE * SIDE * 3 / 5
