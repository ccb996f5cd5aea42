"""folder:DIR: PNG, JPEG, WebP, BMP and GIF files, one sub-directory a class, with others in it or not.

Either DIR/train/CLASS/FILE and DIR/test/CLASS/FILE, DIR/val/CLASS/FILE, or both, or DIR/CLASS/FILE, where test and
validation are carved off. Only names are held in memory, some 200 bytes an image; files are read when their turn comes.
"""

import itertools
import os
from collections.abc import Sequence

from absl import logging

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources import file_splits, listing, order
from pipeline.sources.base import Source
from pipeline.sources.classes import Names
from pipeline.sources.picture_files import Example, PictureFiles
from pipeline.storage.files import expand
from pipeline.text.flag_values import ImageSize
from pipeline.text.spelling import did_you_mean

SPLITS = {"train": ("train",), "test": ("test",), "validation": ("validation", "val", "valid")}  # their directories
_MEANT = {"validation": ("dev", "eval"), "test": ("testing",), "train": ("training",)}


def own_splits(argument: str, config: Config, named: Names, examine: bool) -> dict[str, Source]:
    """The splits that lie in the directory `argument`; train alone where classes do."""
    root = expand(argument, "source=folder")
    listing.require_directory(root, "give one that holds a sub-directory for each class")
    there = _directories(root)
    if "train" not in there:
        [split] = _open([root], config.size, named, examine)
        return {"train": split}
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
    return dict(zip(there, _open(list(there.values()), config.size, named, examine), strict=True))


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


def _open(directories: Sequence[str], size: ImageSize, named: Names, examine: bool) -> list[PictureFiles]:
    """The splits in these directories, all with the image shape of the first, which is train.

    Where no names are settled, classes are those of the first.
    """
    class_names, listed = named.lines, {}
    for directory in directories:
        found = listing.class_directories(directory)
        _check_level(directory, found)
        class_names = class_names or tuple(found)
        _check_classes(directory, found, class_names, named)
        listed[directory] = _examples(directory, found, class_names)
    return file_splits.opened(listed, class_names, size, examine)


def _check_level(directory: str, found: Sequence[str]) -> None:
    """Raises BadDataError for a class that is a data set of its own: its pictures would count as one class."""
    for path in (os.path.join(directory, name) for name in found):
        if os.path.isdir(os.path.join(path, "train")):
            raise BadDataError(
                f"{path} holds train, as a data set does, and is no class; give {path}, or rename its train"
            )


def _check_classes(directory: str, found: Sequence[str], class_names: Sequence[str], named: Names) -> None:
    """Raises BadDataError for a class that has no training images or no name, or too few classes."""
    if strange := sorted(set(found) - set(class_names)):
        reason, remedy = "a class without training images", "rename or remove it, or add images to train on"
        if named.lines:
            reason, remedy = f"no class of {named.origin}", "rename or remove it"
            remedy += ", or add its name there" if named.origin.startswith("--") else ""
        hint = did_you_mean(strange[0], class_names)
        raise BadDataError(f"{os.path.join(directory, strange[0])} is {reason}; {hint}{remedy}")
    if len(class_names) < 2:
        raise BadDataError(f"{directory} holds {len(class_names)} class directories; at least 2 are needed")


def _examples(directory: str, found: Sequence[str], class_names: Sequence[str]) -> list[Example]:
    """The image files of the classes `found`, at any depth, in the order of a hash of their names."""
    numbers = {name: number for number, name in enumerate(class_names)}
    start = len(os.path.join(directory, ""))
    paths = listing.pictures_of([os.path.join(directory, name) for name in found])
    below = [path[start:] for path in paths]
    of_classes = [path.split("/")[0] for path in below]
    names = _names(below, of_classes)
    rows = zip(names, paths, of_classes, strict=True)
    examples = [Example(name, path, numbers[of_class]) for name, path, of_class in rows]
    return [examples[i] for i in order.by_hash(names)]


def _names(below: Sequence[str], of_classes: Sequence[str]) -> Sequence[str]:
    """CLASS/FILE of each path, as if nothing lay deeper; where two have one, what shards with these paths have."""
    flat = [f"{of_class}/{os.path.basename(path)}" for path, of_class in zip(below, of_classes, strict=True)]
    return flat if len(set(flat)) == len(flat) else order.names(below, of_classes, lambda: below)
