"""The splits of picture files that were listed, by whatever kind of source: looked at, and opened."""

import itertools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from absl import logging

from pipeline.process import standard_error
from pipeline.sources import files, images, listing, samples
from pipeline.sources.picture_files import Example, PictureFiles
from pipeline.text.flag_values import ImageSize

CHECKED_FILES = 50_000  # whose ends are looked at before training starts, of each split
SAMPLED_FILES = 50  # of the training split, whose sizes and colours decide for all


def opened(
    listed: Mapping[str, Sequence[Example]], class_names: tuple[str, ...], size: ImageSize, examine: bool
) -> list[PictureFiles]:
    """The splits of these examples, all with the image shape that the first one, which is train, decides.

    listed: by what each split is called to the user. examine: whether files that cannot be used are refused here, by a
    BadDataError that names them; else whoever reads them finds them.
    """
    looks = [files.looks([e.path for e in examples], opened=CHECKED_FILES) for examples in listed.values()]
    pairs = list(zip(itertools.chain(*listed.values()), itertools.chain(*looks), strict=True))
    if examine:
        _check(pairs)
    image_shape = _image_shape(next(iter(listed.values())), looks[0], size, examine)
    splits = [
        PictureFiles(examples, [look.size for look in seen], class_names, image_shape)
        for examples, seen in zip(listed.values(), looks, strict=True)
    ]
    if examine:
        samples.check(dict(zip(listed, splits, strict=True)))
        _tell_other_kinds(pairs)
    return splits


def _check(pairs: Sequence[tuple[Example, files.Look]]) -> None:
    """Raises BadDataError naming all files that cannot be read, are no picture whatever their name, or cut off."""
    if faults := [f"{e.listed}{listing.printable(e.path)} {look.fault}" for e, look in pairs if look.fault]:
        raise files.refusal(faults, "replace or remove")


def _tell_other_kinds(pairs: Sequence[tuple[Example, files.Look]]) -> None:
    """Warns of files whose content is of another kind than their name says, as a PNG file that is called .jpg."""
    seen = ((e.path, files.kind_of_name(e.path), look.kind) for e, look in pairs)
    others = [(path, kind) for path, named, kind in seen if named and kind and named != kind]
    if others:
        path, kind = others[0]
        logging.warning(
            "%s of another kind than the name says, as %s, a %s file; the content decides",
            listing.count(len(others), "file is", "files are"), listing.printable(path), kind,
        )  # fmt: skip


def _image_shape(
    examples: Sequence[Example], looks: Sequence[files.Look], size: ImageSize, examine: bool
) -> images.ImageShape:
    """The shape of all images, as `files.common_shape` finds it from the first that can be used."""
    pairs = zip(examples, looks, strict=True)
    paths = [os.fsdecode(e.path) for e, look in itertools.islice(pairs, SAMPLED_FILES) if not look.fault]
    # libjpeg complains on stderr of headers that it cannot read. A wrong picture is named when it is decoded.
    with standard_error.kept(), ThreadPoolExecutor(16) as threads:
        shapes = [threads.submit(files.shape, path) for path in paths]
        found = files.shapes_of(paths, lambda number: shapes[number].result(), examine)
    return files.common_shape(found, size)
