"""A look at the first pictures of a folder as the model will see them, before training starts."""

import itertools
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf
from absl import logging

from pipeline.errors import BadDataError
from pipeline.process import standard_error
from pipeline.sources import decoding, files, images, listing
from pipeline.sources.decoding import Extremes
from pipeline.sources.picture_files import PictureFiles

FILES, BYTES = 1000, 8 * 2**20  # at most so many of a split's first files are decoded, and at most so large ones
_LEVELS_LOST = 256  # values of 16 bits below it are 0 once they have 8 bits
_FEW_LEVELS = 4096  # below it, 16 levels of 256 are left


def check(splits: Mapping[str, PictureFiles]) -> None:
    """Raises BadDataError if first pictures of splits cannot be decoded whole, or those of a split show nothing.

    splits: by what each is called to the user; all have one image shape. Pictures that may be damaged, or are very
    dark, are told.
    """
    paths = {name: split.paths(_first(split.sizes)) for name, split in splits.items()}
    channels = next(iter(splits.values())).image_shape[2]
    with standard_error.kept() as lines:
        seen = _looks(list(itertools.chain(*paths.values())), channels)
    _check_decodable([split for name, split in splits.items() if not seen.keys() >= set(paths[name])])
    _write_back([line for line in lines if not decoding.complains(line)])
    if any(map(decoding.complains, lines)):
        _check_damage(list(seen))
    for name in splits:
        _check_16_bits(paths[name], name)
        _check_levels({path: seen[path] for path in paths[name] if path in seen}, name)


def _looks(paths: Sequence[str], channels: int) -> dict[str, Extremes]:
    """The extremes of each of these files that can be decoded, by path."""
    if not paths:
        return {}
    encoded = tf.constant([os.fsencode(path) for path in paths], tf.string)
    seen = decoding.extremes(lambda path: images.pixels(tf.io.read_file(path), channels), encoded)
    return {path: seen[number] for number, path in enumerate(paths) if number in seen}


def _first(sizes: Sequence[int]) -> list[int]:
    """The numbers of the first files that are small enough together to be decoded now."""
    total = itertools.accumulate(sizes[:FILES])
    return [index for index, size in enumerate(total) if size <= BYTES]


def _write_back(lines: Sequence[str]) -> None:
    """Lines of stderr that were kept with libjpeg's, and are not about these pictures."""
    for line in lines:
        standard_error.tell(line)


def _check_decodable(suspects: Sequence[PictureFiles]) -> None:
    """Raises BadDataError naming the pictures that cannot be decoded in splits of which one cannot."""
    found = [decoding.search(split, range(min(FILES, len(split)))) for split in suspects]
    if faults := [fault for search in found for fault in search.faults]:
        raise files.refusal(faults, "replace or remove", at_least=not all(search.is_whole for search in found))


def _check_damage(paths: Sequence[str]) -> None:
    """Raises BadDataError naming JPEG files of which parts are made up; warns of those that may be whole."""
    found = decoding.damage(paths)
    for path, line in found.skipped.items():
        logging.warning("%s may be damaged inside (%s); look at it", listing.printable(path), line)
    if found.made_up:
        faults = [f"{listing.printable(path)} is damaged inside ({line})" for path, line in found.made_up.items()]
        raise files.refusal(faults, "replace or remove")


def _check_16_bits(paths: Sequence[str], directory: str) -> None:
    """Raises BadDataError if the pictures of 16 bits would all be black with 8 bits; warns if they would nearly be."""
    largest = {path: files.largest_of_16_bits(path) for path in paths}
    deep = {path: value for path, value in largest.items() if value is not None}
    most = max(deep.values(), default=0)
    if not 0 < most < _FEW_LEVELS:
        return
    said = (
        f"{listing.printable(directory)}: the {len(deep):,} pictures of 16 bits looked at, as "
        f"{listing.printable(next(iter(deep)))}, have values up to {most} of 65535"
    )
    remedy = "multiply their values so that they reach 65535, or save them with 8 bits"
    if most < _LEVELS_LOST:
        raise BadDataError(f"{said}, which are all black with 8 bits; {remedy}")
    logging.warning("%s, which leaves %d of 256 levels; %s", said, most // 256 + 1, remedy)


def _check_levels(seen: Mapping[str, Extremes], directory: str) -> None:
    """Raises BadDataError if all of several pictures are of one and the same level."""
    levels = {value for extremes in seen.values() for value in extremes}
    if len(seen) > 1 and len(levels) == 1:
        raise BadDataError(
            f"{listing.printable(directory)}: all {len(seen):,} pictures looked at, as "
            f"{listing.printable(next(iter(seen)))}, are of the one level {levels.pop()} once decoded (transparent "
            "parts show white), so nothing can be learned from them; replace them"
        )
