"""tar:GLOB: WebDataset shards, tar files in which the files of one example share their name up to the first dot.

KEY.jpg (or .png, .jpeg, .bmp, .gif) is the picture, KEY.cls or KEY.json the label: a number from 0, or the text of the
class; in JSON as {"label": ...}. Only headers and labels are read when the index is made.
"""

import contextlib
import os
import tarfile
from typing import IO, Any

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.sources import classes, packed_files, shard_files, shards
from pipeline.sources.base import Splits
from pipeline.sources.listing import SUFFIXES, printable
from pipeline.sources.shards import Index
from pipeline.storage.reading import parse_json

_MOST_LABEL_BYTES = 2**20  # of a file that holds a label


def open_splits(argument: str, config: Config, examine: bool = True) -> Splits:
    """The splits in the files that the glob `argument` matches, those they lack made of others by `base.complete`."""
    files = shard_files.of(argument, config)
    found = {
        split: shards.indexed(files, paths, index_of, "tar", config)
        for split, paths in shards.find(files, "tar", argument).items()
    }
    return packed_files.splits(f"tar:{argument}", files, found, config, examine)


def index_of(path: str, file: IO[bytes]) -> Index:
    """The index of an open file. Raises BadDataError for a cut-off one, and an example without picture or label.

    path: for messages. Labels are numbers of the file's own texts, unless all of them are whole numbers.
    """
    pictures: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int | str] = {}
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in filter(tarfile.TarInfo.isreg, archive):
                _sort(path, archive, member, pictures, labels)
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
    except tarfile.TarError as error:
        raise BadDataError(
            f"{printable(path)} is damaged or no tar file ({error}; compressed ones are not read); replace it"
        ) from None
    _check(path, pictures, labels)
    members = list(pictures.values())
    values = classes.numbered([labels[key] for key in pictures], printable(path))
    return Index(
        offsets=shards.column([member.offset_data for member in members]),
        lengths=shards.column([member.size for member in members]),
        labels=values.values,
        names=[os.path.normpath(shards.plain(os.fsencode(member.name))) for member in members],
        classes=dict(values.texts),
        textual=values.textual,
    )


def _sort(
    path: str,
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    pictures: dict[str, tarfile.TarInfo],
    labels: dict[str, int | str],
) -> None:
    """Puts a file of the archive where it belongs, by its suffix. Raises BadDataError for two of one kind."""
    directory, name = os.path.split(member.name)
    stem, _, suffix = name.partition(".")
    key, suffix = os.path.join(directory, stem), suffix.lower()
    is_picture = f".{suffix}" in SUFFIXES
    if not is_picture and suffix not in ("cls", "json"):
        return
    if key in (pictures if is_picture else labels):
        kind = "pictures" if is_picture else "labels"
        raise BadDataError(f"{printable(path)}: {printable(key)} has two {kind}; give each example a name of its own")
    if is_picture:
        pictures[key] = member
    else:
        labels[key] = _label(path, archive, member, is_json=suffix == "json")


def _label(path: str, archive: tarfile.TarFile, member: tarfile.TarInfo, is_json: bool) -> int | str:
    """The label in a file: a whole number, or text."""
    file = archive.extractfile(member)
    content = file.read(_MOST_LABEL_BYTES) if file else b""
    value: Any = None
    with contextlib.suppress(ValueError, TypeError, KeyError):
        value = parse_json(content)["label"] if is_json else content.decode().strip()
    label = classes.parsed(value)
    if label is not None:
        return label
    form = '{"label": ...} with a number or a text' if is_json else "a number or a text"
    raise BadDataError(f"{printable(path)}: {printable(member.name)} holds no label; it needs {form} of one line")


def _check(path: str, pictures: dict[str, tarfile.TarInfo], labels: dict[str, int | str]) -> None:
    """Raises BadDataError for the first example that lacks its label or its picture."""
    for key in pictures:
        if key not in labels:
            raise BadDataError(f"{printable(path)}: {printable(key)} has no label; add {printable(key)}.cls or .json")
    for key in labels:
        if key not in pictures:
            raise BadDataError(
                f"{printable(path)}: {printable(key)} has a label and no {', '.join(SUFFIXES)} file; add one"
            )
