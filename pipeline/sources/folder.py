"""folder:DIR: PNG and JPEG files, one sub-directory a class.

Either DIR/train/CLASS/FILE and DIR/test/CLASS/FILE (and DIR/validation/CLASS/FILE where there is one), or
DIR/CLASS/FILE, where test and validation are carved off. Only names are held in memory, some 200 bytes an image; files
are read when their turn comes.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from absl import logging

from pipeline.config import Config
from pipeline.errors import BadDataError, UsageError
from pipeline.process import standard_error
from pipeline.sources import files, images, listing, samples
from pipeline.sources.base import Splits, carve
from pipeline.sources.picture_files import Example, PictureFiles
from pipeline.storage.files import expand
from pipeline.text.spelling import did_you_mean

CHECKED_FILES = 50_000  # whose ends are looked at before training starts, of each split
SAMPLED_FILES = 50  # of the training split, whose sizes and colours decide for all
SPLITS = ("train", "test", "validation")
_MEANT = {"validation": ("val", "valid", "dev", "eval"), "test": ("testing",), "train": ("training",)}


def open_splits(argument: str, config: Config) -> Splits:
    """The splits that lie in the directory `argument`, those it lacks carved off its training examples."""
    root = expand(argument, "source=folder")
    listing.require_directory(root, "give one that holds a sub-directory for each class")
    there = [split for split in SPLITS if os.path.lexists(os.path.join(root, split))]
    if "train" not in there:
        [split] = _open([root], config)
        rest, held_out = carve(split, config.validation_fraction)
        return Splits(*carve(rest, config.validation_fraction), held_out)
    if "test" not in there:
        directory = os.path.join(root, "train")
        raise BadDataError(
            f"{root} has train but no test; add {os.path.join(root, 'test')}, or give {directory} to carve it off"
        )
    directories = [os.path.join(root, name) for name in there]
    for directory in directories:
        listing.require_directory(directory, "put a directory of class directories there or remove it")
    _name_others(root)
    train, test, *validation = _open(directories, config)
    if validation:
        return Splits(train, validation[0], test)
    return Splits(*carve(train, config.validation_fraction), test)


def _name_others(root: str) -> None:
    """Warns of directories beside train, test and validation: none of them is read."""
    for name in sorted(set(listing.directories(root)) - set(SPLITS)):
        meant = next((split for split, names in _MEANT.items() if name.lower() in (split, *names)), None)
        remedy = f"rename it to {meant}, if it is that split" if meant else f"only {', '.join(SPLITS)} are"
        logging.warning("%s is not read; %s", listing.printable(os.path.join(root, name)), remedy)


def _open(directories: Sequence[str], config: Config) -> list[PictureFiles]:
    """The splits in these directories, all with the classes and the image shape of the first, which is train."""
    class_names: tuple[str, ...] = ()
    listed = []
    for directory in directories:
        found = listing.class_directories(directory)
        class_names = class_names or tuple(found)
        _check_classes(directory, found, class_names)
        listed.append(_examples(directory, found, class_names))
    looks = [files.looks([example.path for example in examples], opened=CHECKED_FILES) for examples in listed]
    _check_files(itertools.chain(*listed), itertools.chain(*looks))
    image_shape = _image_shape([example.path for example in listed[0]], config.image_size)
    splits = [
        PictureFiles(examples, [look.size for look in seen], class_names, image_shape)
        for examples, seen in zip(listed, looks, strict=True)
    ]
    samples.check(dict(zip(directories, splits, strict=True)))
    return splits


def _check_classes(directory: str, found: Sequence[str], class_names: Sequence[str]) -> None:
    """Raises BadDataError for a class that has no training images, or too few classes."""
    if strange := sorted(set(found) - set(class_names)):
        raise BadDataError(
            f"{os.path.join(directory, strange[0])} is a class without training images; "
            f"{did_you_mean(strange[0], class_names)}rename or remove it, or add images to train on"
        )
    if len(class_names) < 2:
        raise BadDataError(f"{directory} holds {len(class_names)} class directories; at least 2 are needed")


def _check_files(examples: Iterable[Example], looks: Iterable[files.Look]) -> None:
    """Raises BadDataError naming all files that cannot be read, are no PNG or JPEG whatever their name, or cut off."""
    pairs = zip(examples, looks, strict=True)
    if faults := [f"{listing.printable(example.path)} {look.fault}" for example, look in pairs if look.fault]:
        raise files.refusal(faults, "replace or remove")


def _examples(directory: str, found: Sequence[str], class_names: Sequence[str]) -> list[Example]:
    """The image files of the classes `found`, in the order of a hash of their names."""
    numbers = {name: number for number, name in enumerate(class_names)}
    start = len(os.path.join(directory, ""))
    paths = listing.pictures_of([os.path.join(directory, name) for name in found])
    examples = [Example(path[start:], path, numbers[path[start:].split("/")[0]]) for path in paths]
    return sorted(examples, key=lambda example: hashlib.sha256(os.fsencode(example.name)).digest())


def _image_shape(paths: Sequence[str], image_size: int) -> images.ImageShape:
    """The shape of all images, of their own size for 0; grey where the first SAMPLED_FILES are, else colour."""
    # libjpeg writes there of headers that it cannot read; whatever is wrong with a picture is told when it is decoded.
    with standard_error.kept(), ThreadPoolExecutor(16) as threads:
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
