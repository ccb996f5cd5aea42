"""folder:DIR: PNG, JPEG, BMP and GIF files, one sub-directory a class.

Either DIR/train/CLASS/FILE and DIR/test/CLASS/FILE, DIR/val/CLASS/FILE, or both, or DIR/CLASS/FILE, where test and
validation are carved off. Only names are held in memory, some 200 bytes an image; files are read when their turn comes.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from absl import logging

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.process import standard_error
from pipeline.sources import files, images, listing, samples
from pipeline.sources.base import Splits, complete
from pipeline.sources.picture_files import Example, PictureFiles
from pipeline.storage.files import expand
from pipeline.text.spelling import did_you_mean

CHECKED_FILES = 50_000  # whose ends are looked at before training starts, of each split
SAMPLED_FILES = 50  # of the training split, whose sizes and colours decide for all
SPLITS = {"train": ("train",), "test": ("test",), "validation": ("validation", "val", "valid")}  # their directories
_MEANT = {"validation": ("dev", "eval"), "test": ("testing",), "train": ("training",)}


def open_splits(argument: str, config: Config) -> Splits:
    """The splits that lie in the directory `argument`, those it lacks made of others by `complete`."""
    root = expand(argument, "source=folder")
    listing.require_directory(root, "give one that holds a sub-directory for each class")
    there = _directories(root)
    if "train" not in there:
        [split] = _open([root], config)
        return complete(root, {"train": split}, config.validation_fraction)
    if len(there) == 1:
        raise BadDataError(
            f"{root} has train but no test and no val; add {os.path.join(root, 'test')}, or give {there['train']} to "
            "carve it off"
        )
    for directory in there.values():
        listing.require_directory(directory, "put a directory of class directories there or remove it")
    _name_others(root)
    if "test" in there and "validation" in there and os.path.basename(there["validation"]) != "validation":
        logging.warning("%s is used for validation, and test for testing", listing.printable(there["validation"]))
    opened = _open(list(there.values()), config)
    return complete(listing.printable(root), dict(zip(there, opened, strict=True)), config.validation_fraction)


def _directories(root: str) -> dict[str, str]:
    """The path of each split's directory that is there, train first. Raises BadDataError for two of one split."""
    there = {}
    for split, names in SPLITS.items():
        paths = [os.path.join(root, name) for name in names if os.path.lexists(os.path.join(root, name))]
        if len(paths) > 1 and "train" in there:
            raise BadDataError(f"{' and '.join(paths)} are both {split} splits; remove or rename all but one")
        if paths:
            there[split] = paths[0]
    return there


def _name_others(root: str) -> None:
    """Warns of directories beside those of the splits: none of them is read."""
    known = {name: split for split, names in SPLITS.items() for name in (*names, *_MEANT[split])}
    for name in sorted(set(listing.directories(root)) - set(itertools.chain(*SPLITS.values()))):
        meant = known.get(name.lower())
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
    """Raises BadDataError naming all files that cannot be read, are no picture whatever their name, or cut off."""
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
    """The shape of all images, as `files.common_shape` finds it from the first."""
    first = paths[:SAMPLED_FILES]
    # libjpeg complains on stderr of headers that it cannot read. A wrong picture is named when it is decoded.
    with standard_error.kept(), ThreadPoolExecutor(16) as threads:
        return files.common_shape(list(zip(first, threads.map(files.shape, first), strict=True)), image_size)
