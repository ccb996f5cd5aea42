"""tfrecord:GLOB: TFRecord files of tf.train.Example messages, each with one encoded picture and one label.

With --multi_label, all numbers of the label are read, and there may be none.

The files are walked once, without a look at the pictures: the checksum of each record's length is verified. That of its
content is, whenever its picture is read.
"""

import mmap
import struct
from collections.abc import Iterator
from functools import partial
from typing import IO, NamedTuple

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources import checksums, packed_files, shard_files, shards
from pipeline.sources.base import Source
from pipeline.sources.classes import Names
from pipeline.sources.listing import printable
from pipeline.sources.shards import Index
from pipeline.storage import reading

IMAGE_KEYS = ("image/encoded", "image")  # of TensorFlow's ImageNet scripts, and of TFDS
LABEL_KEYS = ("image/class/label", "label")
NAME_KEYS = ("image/filename", "file_name")
TEXT_KEYS = ("image/class/text",)
_HEADER = 8 + checksums.SIZE  # bytes before a record's content: its length, and the length's checksum
_BYTES_LIST, _INT64_LIST = 1, 3  # fields of a tf.train.Feature


class Keys(NamedTuple):
    """The features of a record that are looked for: the first of each that is there."""

    image: tuple[str, ...]
    label: tuple[str, ...]


def own_splits(argument: str, config: Config, named: Names, examine: bool) -> dict[str, Source]:
    """The splits in the files that the glob `argument` matches."""
    keys = Keys(
        (config.record_image_key,) if config.record_image_key else IMAGE_KEYS,
        (config.record_label_key,) if config.record_label_key else LABEL_KEYS,
    )
    files = shard_files.of(argument, config)
    form = f"tfrecord {keys}{' of several labels' if config.multi_label else ''}"
    indexed = {
        split: shards.indexed(files, paths, partial(index_of, keys=keys, multi_label=config.multi_label), form, config)
        for split, paths in shards.find(files, "tfrecord", argument, not named.of_other_data).items()
    }
    return packed_files.splits(f"tfrecord:{argument}", files, indexed, config.size, named, examine)


def index_of(path: str, file: IO[bytes], keys: Keys, multi_label: bool = False) -> Index:
    """The index of an open file. Raises BadDataError for a record that is cut off, or lacks its picture or label.

    path: for messages.
    """
    offsets, lengths, labels, names, counts = [], [], [], [], []
    before, behind = [], []
    classes: dict[int, str] = {}
    for number, (data, start, end, place) in enumerate(_records(path, file)):
        try:
            features = dict(_features(data, start, end))
            begin, stop = _first_bytes(data, _of(features, keys.image))
            own = _several(data, _of(features, keys.label)) if multi_label else _one(data, _of(features, keys.label))
            texts = _texts(data, features, TEXT_KEYS)[: None if multi_label else 1]
            names.append(next(iter(_texts(data, features, NAME_KEYS)), ""))
        except _Unreadable as error:
            raise BadDataError(f"{printable(path)}: record {number} {error}") from None
        offsets.append(place + begin)
        lengths.append(stop - begin)
        before.append(begin - start)
        behind.append(end - stop)
        labels += own
        counts.append(len(own))
        for label, text in zip(own, texts, strict=True) if len(texts) == len(own) else ():
            if text:
                classes.setdefault(label, printable(text))
    return Index(
        offsets=shards.column(offsets),
        lengths=shards.column(lengths),
        labels=shards.column(labels),
        names=names,
        classes=classes,
        counts=shards.column(counts) if multi_label else None,
        before=shards.column(before),
        behind=shards.column(behind),
    )


class _Unreadable(Exception):
    """What is wrong with a record, to follow its number."""


_Data = mmap.mmap | bytes
_Span = tuple[int, int]  # the first byte and the one behind the last


def _records(path: str, file: IO[bytes]) -> Iterator[tuple[_Data, int, int, int]]:
    """For each record bytes, where its content begins and ends in them, and where they begin in the file."""
    size = file.seek(0, 2)
    with reading.mapped(file) as mapped:
        place = number = 0
        while place < size:
            header = _part(mapped or file, place, place + _HEADER)
            length, checksum = struct.unpack("<QI", header) if len(header) == _HEADER else (size, 0)
            if len(header) == _HEADER and checksums.masked(header[:8]) != checksum:
                raise BadDataError(
                    f"{printable(path)}: the length of record {number} has another checksum than stands behind it; "
                    "the file is damaged, or no TFRecord file (compressed ones are not read): replace it"
                )
            begin, end = place + _HEADER, place + _HEADER + length
            if end + checksums.SIZE > size:
                raise BadDataError(f"{printable(path)} was cut off in record {number}; replace it")
            yield (mapped, begin, end, 0) if mapped else (_part(file, begin, end), 0, length, begin)
            place, number = end + checksums.SIZE, number + 1


def _part(content: mmap.mmap | IO[bytes], start: int, end: int) -> bytes:
    if isinstance(content, mmap.mmap):
        return content[start:end]
    content.seek(start)
    return content.read(end - start)


def _fields(data: _Data, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a protocol buffer: number, and where the value begins and ends; numbers have end = -1.

    The value of a field that is a number stands in place of its beginning.
    """
    while place < end:
        tag, place = _varint(data, place, end)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(data, place, end)
            yield tag >> 3, value, -1
            continue
        if kind == 2:
            length, place = _varint(data, place, end)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _Unreadable("is no tf.train.Example; give files of these")
        if place + length > end:
            raise _Unreadable("is no tf.train.Example; give files of these")
        yield tag >> 3, place, place + length
        place += length


def _varint(data: _Data, place: int, end: int) -> tuple[int, int]:
    """A number of up to 64 bits, and the place behind it."""
    value = shift = 0
    while place < end and shift < 64:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise _Unreadable("is no tf.train.Example; give files of these")


def _features(data: _Data, start: int, end: int) -> Iterator[tuple[str, _Span]]:
    """The features of an Example by name, each where its value, a tf.train.Feature, lies."""
    for field, begin, stop in _fields(data, start, end):
        if field != 1 or stop < 0:
            continue
        for number, place, behind in _fields(data, begin, stop):
            if number == 1 and behind >= 0:
                entry = {part: (first, last) for part, first, last in _fields(data, place, behind) if last >= 0}
                if 1 in entry and 2 in entry:
                    yield shards.plain(data[slice(*entry[1])]), entry[2]


def _of(features: dict[str, _Span], keys: tuple[str, ...]) -> tuple[str, _Span]:
    """The first of these features that is there, and its name."""
    for key in keys:
        if key in features:
            return key, features[key]
    flag = "record_image_key" if keys[0] == IMAGE_KEYS[0] else "record_label_key"
    raise _Unreadable(
        f"has no {' or '.join(keys)}, but {', '.join(sorted(features)) or 'nothing'}; name the right one with --{flag}"
        if keys in (IMAGE_KEYS, LABEL_KEYS)
        else f"has no {keys[0]}, but {', '.join(sorted(features)) or 'nothing'}; name one that is there"
    )


def _values(data: _Data, feature: _Span, kind: int) -> Iterator[tuple[int, int]]:
    """The values in the list of this kind that a tf.train.Feature holds, as `_fields` gives them."""
    for field, begin, stop in _fields(data, *feature):
        if field == kind and stop >= 0:
            yield from ((first, last) for number, first, last in _fields(data, begin, stop) if number == 1)


def _first_bytes(data: _Data, named: tuple[str, _Span]) -> _Span:
    key, feature = named
    for first, last in _values(data, feature, _BYTES_LIST):
        if last > first:
            return first, last
    raise _Unreadable(f"has no bytes in {key}; an encoded picture is needed there")


def _ints(data: _Data, feature: _Span) -> Iterator[int]:
    for place, end in _values(data, feature, _INT64_LIST):
        if end < 0:  # a number alone stands in place of its beginning
            yield _signed(place)
        while place < end:  # a packed list
            value, place = _varint(data, place, end)
            yield _signed(value)


def _signed(value: int) -> int:
    return value - (value >> 63 << 64)


def _one(data: _Data, named: tuple[str, _Span]) -> list[int]:
    key, feature = named
    for value in _ints(data, feature):
        return [value]
    raise _Unreadable(f"has no number in {key}; a class label is needed there")


def _several(data: _Data, named: tuple[str, _Span]) -> list[int]:
    key, feature = named
    found = list(_ints(data, feature))
    if len(set(found)) < len(found):
        raise _Unreadable(f"has a number twice in {key}; give each label once")
    if not found and any(number != _INT64_LIST for number, *_ in _fields(data, *feature)):
        raise _Unreadable(f"has no numbers in {key}, but values of another kind; class labels are needed there")
    return found


def _texts(data: _Data, features: dict[str, _Span], keys: tuple[str, ...]) -> list[str]:
    """The texts in the first of these features that is there."""
    for key in keys:
        if key in features:
            return [shards.plain(data[a:b]) for a, b in _values(data, features[key], _BYTES_LIST) if b >= 0]
    return []
