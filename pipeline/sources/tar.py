"""tar:GLOB: WebDataset shards, tar files in which the files of one example share their name up to the first dot.

KEY.jpg (or .png, .jpeg, .webp, .bmp, .gif) is the picture, KEY.cls or KEY.json the label: a number from 0, or the text
of the class; in JSON as {"label": ...}. With --multi_label, KEY.json has all of them, as {"labels": [...]}.
Only headers and labels are read when the index is made.
"""

import contextlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from typing import IO, Any

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources import classes, packed_files, shard_files, shards
from pipeline.sources.base import Source
from pipeline.sources.listing import SUFFIXES, printable
from pipeline.sources.shards import Index
from pipeline.storage import reading

_MOST_LABEL_BYTES = 2**20  # of a file that holds a label


def own_splits(argument: str, config: Config, named: classes.Names, examine: bool) -> dict[str, Source]:
    """The splits in the files that the glob `argument` matches."""
    files = shard_files.of(argument, config)
    form = "whole tar of several labels" if config.multi_label else "whole tar"
    make = partial(index_of, multi_label=config.multi_label)
    indexed = {
        split: shards.indexed(files, paths, make, form, config)
        for split, paths in shards.find(files, "tar", argument, not named.of_other_data).items()
    }
    return packed_files.splits(f"tar:{argument}", files, indexed, config.size, named, examine)


def index_of(path: str, file: IO[bytes], multi_label: bool = False) -> Index:
    """The index of an open file. Raises BadDataError for a cut-off one, and an example without picture or label.

    path: for messages. Labels are numbers of the file's own texts, unless all of them are whole numbers.
    """
    pictures: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, tuple[int | str, ...]] = {}
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        # In a map nothing is read by a call, at which threads would wait for each other.
        with reading.mapped(file) as content, tarfile.open(fileobj=content or file, mode="r:") as archive:
            for member in _files(archive, size):
                _sort(path, archive, member, pictures, labels, multi_label)
            _require_end(archive)
    # tarfile lets the errors of some wrong numbers through.
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise BadDataError(
            f"{printable(path)} is damaged or no tar file ({error}; compressed ones are not read); replace it"
        ) from None
    _check(path, pictures, labels)
    members = list(pictures.values())
    values = classes.numbered([label for key in pictures for label in labels[key]], printable(path))
    return Index(
        offsets=shards.column([member.offset_data for member in members]),
        lengths=shards.column([member.size for member in members]),
        labels=values.values,
        names=[os.path.normpath(shards.plain(os.fsencode(member.name))) for member in members],
        classes=dict(values.texts),
        textual=values.textual,
        counts=shards.column([len(labels[key]) for key in pictures]) if multi_label else None,
    )


def _files(archive: tarfile.TarFile, size: int) -> Iterator[tarfile.TarInfo]:
    """The files and links of an archive of so many bytes. Raises tarfile.ReadError for one that does not lie in it.

    tarfile reads some members for ever if their sizes are negative.
    """
    end = 0
    for member in archive:
        if member.size < 0 or member.offset_data < end:
            raise tarfile.ReadError("a negative size")
        end = member.offset_data
        has_data = member.isreg() or member.type not in tarfile.SUPPORTED_TYPES
        if has_data and end + member.size > size:
            raise tarfile.ReadError("unexpected end of data")
        if not member.isdir():
            yield member


def _require_end(archive: tarfile.TarFile) -> None:
    """Raises tarfile.ReadError unless the end mark and nothing else follows the members that were read.

    tarfile takes a damaged header for the end, and looks at nothing behind it.
    """
    file = archive.fileobj
    assert file is not None
    file.seek(archive.offset)
    block = file.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0") or not block:
        raise tarfile.ReadError(f"neither a header nor the end mark at byte {archive.offset}")
    while piece := file.read(2**20):
        if piece.strip(b"\0"):
            raise tarfile.ReadError("data behind the end mark, as where archives were joined")


def _sort(
    path: str,
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    pictures: dict[str, tarfile.TarInfo],
    labels: dict[str, tuple[int | str, ...]],
    multi_label: bool,
) -> None:
    """Puts a file of the archive where it belongs, by its suffix. Raises BadDataError for two of a kind, and a link."""
    directory, name = os.path.split(member.name)
    stem, _, suffix = name.partition(".")
    key, suffix = os.path.join(directory, stem), suffix.lower()
    is_picture = f".{suffix}" in SUFFIXES
    if not is_picture and suffix not in ("cls", "json"):
        return
    if not member.isreg():
        raise BadDataError(
            f"{printable(path)}: {printable(member.name)} is no file of its own, but a link or a device; pack files, "
            "as tar --dereference --hard-dereference does"
        )
    if key in (pictures if is_picture else labels):
        kind = "pictures" if is_picture else "labels"
        raise BadDataError(f"{printable(path)}: {printable(key)} has two {kind}; give each example a name of its own")
    if is_picture:
        pictures[key] = member
    else:
        labels[key] = _labels(path, archive, member, suffix == "json", multi_label)


def _labels(
    path: str, archive: tarfile.TarFile, member: tarfile.TarInfo, is_json: bool, multi_label: bool
) -> tuple[int | str, ...]:
    """The labels in a file, each a whole number or text: one, or with multi_label any number."""
    file = archive.extractfile(member)
    content = file.read(_MOST_LABEL_BYTES) if file else b""
    value: Any = None
    with contextlib.suppress(ValueError, TypeError, KeyError):
        if multi_label:
            value = reading.parse_json(content)["labels"] if is_json else None
        else:
            value = [reading.parse_json(content)["label"] if is_json else content.decode().strip()]
    labels = classes.parsed_several(value)
    if labels is not None:
        return labels
    form = '{"label": ...} with a number or a text' if is_json else "a number or a text"
    if multi_label:
        form = 'to be KEY.json with {"labels": [...]}, each once: numbers, or texts'
    what = "labels of --multi_label" if multi_label else "label"
    raise BadDataError(f"{printable(path)}: {printable(member.name)} holds no {what}; it needs {form} of one line")


def _check(path: str, pictures: dict[str, tarfile.TarInfo], labels: Mapping[str, object]) -> None:
    """Raises BadDataError for the first example that lacks its label or its picture."""
    for key in pictures:
        if key not in labels:
            raise BadDataError(f"{printable(path)}: {printable(key)} has no label; add {printable(key)}.cls or .json")
    for key in labels:
        if key not in pictures:
            raise BadDataError(
                f"{printable(path)}: {printable(key)} has a label and no {', '.join(SUFFIXES)} file; add one"
            )
