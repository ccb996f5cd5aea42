"""What can be wrong with a user's folder of images, as command lines: one line naming the file, and exit code 65."""

import io
import os

import commands
import numpy as np
import pytest
from PIL import Image

from benchmarks.shapes import drawing
from pipeline.errors import ExitCode


@pytest.fixture
def folder(tmp_path):
    """A directory of 40 training and 20 test images."""
    drawing.write(tmp_path / "shapes", {"train": np.arange(40), "test": drawing.TEST_START + np.arange(20)}, side=16)
    return tmp_path / "shapes"


def train(*flags):
    return ("train", "--source=folder:shapes", "--model=dense", "--steps=3", "--run_dir=run", *flags)


def as_file(kind, frames=1):
    pictures = [Image.fromarray(pixels) for pixels in drawing.draw(np.arange(frames), 16)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, kind, **({"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}))
    return buffer.getvalue()


FILES = {
    "zero bytes": (lambda: b"", "begins with nothing: it is no PNG, JPEG, WebP, BMP or GIF; replace or remove it"),
    "cut off": (lambda: as_file("JPEG")[:300], "was cut off: it has no end of its image; replace or remove it"),
    "a web page": (lambda: b"<!doctype", "begins with 3c 21 64 6f 63 74 79 70: it is no PNG, JPEG, WebP, BMP or GIF"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_whole_image_is_named_before_training(kind, folder):
    content, words = FILES[kind]
    (folder / "train" / "warm_ring" / "8.jpg").write_bytes(content())
    told = commands.refuse(ExitCode.BAD_DATA, *train(), cwd=folder.parent)
    assert told.startswith(f"bad data: shapes/train/warm_ring/8.jpg {words}")
    assert not (folder.parent / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda folder: (folder / "test" / "warm_ring").rename(folder / "test" / "warm_rings"),
            "shapes/test/warm_rings is a class without training images; did you mean warm_ring? rename or remove it",
        ),
        (
            lambda folder: (folder / "train" / "warm_rnig").mkdir(),
            "shapes/train/warm_rnig holds no .png, .jpg, .jpeg, .webp, .bmp, .gif files; put images there or remove it",
        ),
        (
            lambda folder: os.mkdir(os.fsencode(folder / "train") + b"/r\xe9d"),
            r"shapes/train: the class directory b'r\xe9d' has a name that is not UTF-8 text of one line; rename it",
        ),
    ],
)
def test_a_class_that_cannot_be_is_named(change, words, folder):
    change(folder)
    told = commands.refuse(ExitCode.BAD_DATA, *train(), cwd=folder.parent)
    assert told.startswith(f"bad data: {words}")


def test_sizes_that_differ_need_a_flag_and_then_all_kinds_of_files_are_trained_on(folder):
    directory = folder / "train" / "cold_disc"
    Image.new("CMYK", (30, 20)).save(directory / "print.jpg")
    Image.new("L", (20, 30)).save(directory / "grey.png")
    Image.new("I;16", (16, 16)).save(directory / "deep.png")
    Image.new("P", (16, 16)).save(directory / "palette.png")
    (directory / "grey.png").rename(directory / "grey.JPG")
    told = commands.refuse(ExitCode.USAGE, *train(), cwd=folder.parent)
    assert told.endswith("give the size that all are cropped and resized to, as --image_size=32")
    ended = commands.run(*train("--image_size=16", "--augment=resize_crop:0.5,flip"), cwd=folder.parent)
    assert (ended.returncode, ended.stderr) == (
        0,
        "WARNING: 1 file is of another kind than the name says, as shapes/train/cold_disc/grey.JPG, a PNG file; the "
        "content decides\n",
    )
