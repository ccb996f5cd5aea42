"""folder:DIR: PNG and JPEG files, one sub-directory a class.

Either DIR/train/CLASS/FILE and DIR/test/CLASS/FILE (and DIR/validation/CLASS/FILE where there is one), or
DIR/CLASS/FILE, where test and validation are carved off. Only names are held in memory, some 200 bytes an image; files
are read when their turn comes.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf
from absl import logging

from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.sources import files, images
from pipeline.sources.base import Splits, carve
from pipeline.text.spelling import did_you_mean

CHECKED_FILES = 50_000  # whose ends are looked at before training starts, of each split
SAMPLED_FILES = 50  # of the training split, whose sizes and colours decide for all


class Folder:
    """One split: the files, in an order that depends on nothing but their names."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int], class_names: tuple[str, ...], image_shape):
        self.class_names, self.image_shape = class_names, image_shape
        self._paths = tf.constant([os.fsencode(path) for path in paths], tf.string)
        self._labels = tf.constant(labels, tf.int32)

    def __len__(self) -> int:
        return len(self._labels)

    def fetch(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self._paths, indices), tf.gather(self._labels, indices)

    def decode(self, raw: tf.Tensor, window: images.Window | None = None) -> tf.Tensor:
        return images.decode_batch(raw, self.image_shape, window, read=tf.io.read_file)

    def where(self, index: int) -> str:
        return os.fsdecode(self._paths[index].numpy())


def open_splits(argument: str, config: Config) -> Splits:
    """The splits that lie in the directory `argument`, those it lacks carved off its training examples."""
    root = Path(os.path.expanduser(argument))
    if not root.is_dir():
        raise BadDataError(f"{root} is not a directory; give one that holds a sub-directory for each class")
    if not (root / "train").is_dir():
        rest, held_out = carve(_open(root, config), config.validation_fraction)
        return Splits(*carve(rest, config.validation_fraction), held_out)
    if not (root / "test").is_dir():
        raise BadDataError(
            f"{root} has train but no test; add {root / 'test'}, or give {root / 'train'} to carve it off"
        )
    split = _open(root / "train", config)
    test = _open(root / "test", config, split)
    if (root / "validation").is_dir():
        return Splits(split, _open(root / "validation", config, split), test)
    return Splits(*carve(split, config.validation_fraction), test)


def _open(directory: Path, config: Config, train: Folder | None = None) -> Folder:
    """The split in `directory`, with the classes and image shape of `train` where that is given."""
    found = _class_names(directory)
    class_names = train.class_names if train else found
    if strange := sorted(set(found) - set(class_names)):
        raise BadDataError(
            f"{directory / strange[0]} is a class without training images; "
            f"{did_you_mean(strange[0], class_names)}rename or remove it, or add images to train on"
        )
    if len(class_names) < 2:
        raise BadDataError(f"{directory} holds {len(class_names)} class directories; at least 2 are needed")
    labelled = [(path, class_names.index(name)) for name in found for path in _files(directory / name)]
    start = len(os.fspath(directory)) + 1
    labelled.sort(key=lambda example: hashlib.sha256(os.fsencode(example[0][start:])).digest())
    paths, labels = [path for path, _ in labelled], [label for _, label in labelled]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(files.check, paths[:CHECKED_FILES]))
    return Folder(paths, labels, class_names, train.image_shape if train else _image_shape(paths, config.image_size))


def _class_names(directory: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in _entries(directory) if entry.is_dir()))


def _files(directory: Path) -> list[str]:
    """The images of one class."""
    entries = _entries(directory)
    found = [entry.path for entry in entries if entry.name.lower().endswith(files.SUFFIXES) and entry.is_file()]
    if not found:
        raise BadDataError(f"{directory} holds no {', '.join(files.SUFFIXES)} files; put images there or remove it")
    if len(found) < len(entries):
        other = min({entry.path for entry in entries} - set(found))
        logging.warning(
            "%s: %d entries are no %s files and are left out, as %s",
            directory, len(entries) - len(found), ", ".join(files.SUFFIXES), other,
        )  # fmt: skip
    return found


def _entries(directory: Path) -> list[os.DirEntry]:
    """What is not hidden in a directory."""
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise BadDataError(f"{directory} cannot be read ({error.strerror}); make it readable") from None


def _image_shape(paths: Sequence[str], image_size: int) -> tuple[int, int, int]:
    """The shape of all images, of their own size for 0; grey where the first SAMPLED_FILES are, else colour."""
    with ThreadPoolExecutor(16) as threads:
        shapes = list(threads.map(files.shape, paths[:SAMPLED_FILES]))
    height, width = shapes[0][:2]
    for path, shape in zip(paths, shapes, strict=False):
        if not image_size and shape[:2] != (height, width):
            raise UsageError(
                f"{path} is {shape[0]} x {shape[1]} and {paths[0]} {height} x {width}; give the size that all are "
                "cropped and resized to, as --image_size=32"
            )
    colour = any(channels > 2 for _, _, channels in shapes)
    return image_size or height, image_size or width, 3 if colour else 1
