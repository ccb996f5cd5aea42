"""Faults of examples that only decoding finds: some cannot be decoded, or only in part, and some show nothing."""

import contextlib
import functools
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import tensorflow as tf

from pipeline.errors import told_in
from pipeline.process import standard_error
from pipeline.sources import files
from pipeline.sources.base import Source

SEARCH_S = 5.0  # seconds for which the other examples of a split are searched, once one of them cannot be decoded
_AT_A_TIME = 64
_REMEDY = "bring the original back; a run that has a checkpoint cannot go on without"

# Complaints that libjpeg writes to stderr about a file that it decodes nevertheless. Whole files of some cameras have
# too many bytes before the end of the image (marker d9), too. With every other complaint, pixels are made up.
_SKIPPED = re.compile(r"Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9")
_MADE_UP = re.compile(
    rf"(?!{_SKIPPED.pattern})Corrupt JPEG data: |Premature end of JPEG|Inconsistent progression sequence"
)


class Extremes(NamedTuple):
    """The least and the greatest value of a decoded image, 0 to 255."""

    least: int
    greatest: int


class Damage(NamedTuple):
    """JPEG files that libjpeg decodes and complains of: its complaint, by path."""

    made_up: dict[str, str]  # pixels are missing, others stand in their place
    skipped: dict[str, str]  # bytes at the end were skipped; the picture may be whole


def find_broken(source: Source, indices: Sequence[int]) -> None:
    """Raises BadDataError naming the examples that cannot be read or decoded, if one of `indices` cannot.

    For use after tf.data reported an error, whose message does not say which example it was about.
    """
    found = search(source, indices)
    if found.faults:
        raise files.refusal(found.faults, _REMEDY, not found.is_whole, "example")


class Search(NamedTuple):
    """The result of a search for examples that cannot be decoded."""

    faults: list[str]  # where each lies, and why it cannot be decoded
    is_whole: bool  # whether all examples of the source were looked at


def search(source: Source, indices: Sequence[int]) -> Search:
    """The examples that cannot be decoded, among `indices` and, if one is there, among all others of the source.

    So all can be repaired at once. The others are searched for SEARCH_S at most.
    """
    with standard_error.kept():  # libjpeg's own words about files that are named here
        return _search(source, indices)


def _search(source: Source, indices: Sequence[int]) -> Search:
    broken = undecodable(source, indices)
    rest = sorted(set(range(len(source))) - set(indices))
    if not broken:
        return Search([], not rest)
    end = time.monotonic() + SEARCH_S
    while rest and time.monotonic() < end:
        broken += undecodable(source, rest[:_AT_A_TIME])
        rest = rest[_AT_A_TIME:]
    faults = [f"{source.where(index)} cannot be decoded ({_reason(source, index)})" for index in sorted(broken)]
    return Search(faults, not rest)


def undecodable(source: Source, indices: Iterable[int]) -> list[int]:
    """Those of these examples that cannot be read or decoded."""
    chosen = list(dict.fromkeys(indices))
    decoded = extremes(lambda index: source.decode(source.fetch(index[None])[0]), tf.constant(chosen, tf.int64))
    return [index for number, index in enumerate(chosen) if number not in decoded]


def extremes(decode: Callable[[tf.Tensor], tf.Tensor], elements: tf.Tensor) -> dict[int, Extremes]:
    """The least and greatest value of the image that `decode` makes of each element, by its number.

    An element that cannot be decoded has none.
    """

    def look(number: tf.Tensor, element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image = decode(element)
        return number, tf.reduce_min(image), tf.reduce_max(image)

    options = tf.data.Options()
    options.autotune.enabled = False  # with it on, deleting an iterator stalls at times (TensorFlow 2.21)
    dataset = tf.data.Dataset.from_tensor_slices(elements).enumerate().with_options(options)
    dataset = dataset.map(tf.autograph.experimental.do_not_convert(look), num_parallel_calls=8).ignore_errors()
    return {
        int(number): Extremes(int(least), int(greatest))
        for batch in dataset.batch(_AT_A_TIME).as_numpy_iterator()
        for number, least, greatest in zip(*batch, strict=True)
    }


def damage(paths: Sequence[str]) -> Damage:
    """The complaints of libjpeg about these files, all of which can be decoded. TensorFlow reports none of them."""
    found = Damage({}, {})
    for path in paths:
        line = complaint(functools.partial(tf.io.read_file, os.fsencode(path)))
        if line:
            (found.made_up if is_made_up(line) else found.skipped)[path] = line
    return found


def complaint(read: Callable[[], tf.Tensor | bytes]) -> str:
    """What libjpeg says of a file that can be decoded, whose bytes `read` returns; "" for nothing."""
    with standard_error.kept() as lines, contextlib.suppress(tf.errors.OpError):
        tf.io.decode_image(read(), expand_animations=False)
    return next((line for pattern in (_MADE_UP, _SKIPPED) for line in lines if pattern.search(line)), "")


def is_made_up(complaint: str) -> bool:
    """Whether a complaint of libjpeg says that pixels are missing, so that others stand in their place."""
    return bool(_MADE_UP.search(complaint))


def complains(line: str) -> bool:
    """Whether a line of stderr is libjpeg's, about a damaged file."""
    return bool(_MADE_UP.search(line) or _SKIPPED.search(line))


def _reason(source: Source, index: int) -> str:
    """Why an example cannot be decoded, in TensorFlow's words. Raises the error of a file that cannot be read."""
    try:
        raw, _ = source.fetch(tf.constant([index], tf.int64))
        source.decode(raw)
    except tf.errors.OpError as error:
        if told := told_in(error.message):
            raise told from None
        return words_of(error)
    return "it changed meanwhile"


def words_of(error: tf.errors.OpError) -> str:
    """TensorFlow's own words about a picture that it cannot decode, or those of `bitmaps`, in one line."""
    surroundings = r".*}} | \[Op:.*|StringToNumberOp could not correctly convert string: "
    lines = [re.sub(surroundings, "", line.strip()) for line in error.message.splitlines()]
    return [line for line in lines if line and not line.startswith("[[")][-1]
