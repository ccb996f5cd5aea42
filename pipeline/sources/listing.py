"""Directories of images: class directories, image files, and other entries, none of them left out in silence."""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import logging

from pipeline.errors import BadDataError, shown

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
UNREADABLE = (".heic", ".heif", ".avif", ".jxl", ".tif", ".tiff")  # of pictures that are not decoded
SHOWN = 20  # names in a message; how many more there are is a number
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, bytes that are not UTF-8, and line breaks


def printable(path: str) -> str:
    r"""The path as text of one line that can be printed everywhere; other bytes and characters become \xNN."""
    return shown(os.fsencode(path).decode(errors="backslashreplace")).replace("\n", "\\n")


def some(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def count(number: int, one: str, many: str = "") -> str:
    """'1 file', '2 files', '3,000 entries'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def them(number: int) -> str:
    """'it' or 'them'."""
    return "it" if number == 1 else "them"


def require_directory(path: str, remedy: str) -> None:
    """Raises BadDataError unless `path` is a directory, or a link to one."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = 0
    except (OSError, ValueError) as error:
        raise BadDataError(f"{printable(path)} cannot be read ({_reason(error)}); {remedy}") from None
    if not stat.S_ISDIR(mode):
        raise BadDataError(f"{printable(path)} is not a directory; {remedy}")


def directories(directory: str) -> list[str]:
    """The names of the directories in `directory` that are not hidden, sorted, and of links that lead nowhere.

    Raises BadDataError if `directory` cannot be read.
    """
    return sorted(entry.name for entry in _entries(directory) if _kind(entry) not in ("file", "special"))


def class_directories(directory: str) -> list[str]:
    """The names of the classes, sorted: the directories in `directory` that are not hidden.

    Image files beside them belong to no class; they are left out, which is told.
    Raises BadDataError for an entry that leads nowhere, and for a name that cannot be printed.
    """
    kinds = _checked(directory, _kinds(directory))
    names = sorted(name for name, kind in kinds.items() if kind == "directory")
    for name in names:
        if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
            raise BadDataError(
                f"{printable(directory)}: the class directory {os.fsencode(name)!r} has a name that is not UTF-8 text "
                "of one line; rename it"
            )
    if stray := sorted(filter(_is_picture, names_of(kinds, "file"))):
        logging.warning(
            "%s: %s outside of any class directory, left out, as %s; move %s into one",
            printable(directory), count(len(stray), "image file"), printable(stray[0]), them(len(stray)),
        )  # fmt: skip
    return names


def pictures_of(directories: Sequence[str]) -> list[str]:
    """The `pictures` of several class directories. Raises BadDataError with the faults of all of them."""
    found, faults = [], []
    for directory in directories:
        try:
            found += pictures(directory)
        except BadDataError as error:
            faults.append(str(error))
    if faults:
        raise BadDataError(" | ".join(faults[:SHOWN]) + (f" | and {len(faults) - SHOWN} more" * (len(faults) > SHOWN)))
    return found


def pictures(directory: str) -> list[str]:
    """The paths of the image files of one class, at any depth, in no order; at least one.

    Everything else that is not hidden is left out, which is told. Raises BadDataError for an entry that leads nowhere,
    back to a directory that it lies in, or cannot be read to its end, and for UNREADABLE pictures.
    """
    files, specials = [], []
    for place, entries in _levels(directory, _around(directory)):
        if entries is None:
            raise BadDataError(f"{printable(place)} leads back to a directory that it lies in; remove the link")
        kinds = _checked(place, entries)
        files += [os.path.join(place, name) for name in names_of(kinds, "file")]
        specials += [os.path.join(place, name) for name in names_of(kinds, "special")]
    start = len(os.path.join(directory, ""))
    if unreadable := sorted(path[start:] for path in files if path.lower().endswith(UNREADABLE)):
        raise BadDataError(
            f"{printable(directory)}: {count(len(unreadable), 'file')} of kinds that are not read: "
            f"{some(list(map(printable, unreadable)))}; convert {them(len(unreadable))} to PNG or JPEG, or remove "
            f"{them(len(unreadable))}"
        )
    found = list(filter(_is_picture, files))
    if not found:
        raise BadDataError(
            f"{printable(directory)} holds no {', '.join(SUFFIXES)} files; put images there or remove it"
        )
    others = sorted(set(files) - set(found)) + sorted(specials)
    if others:
        logging.warning(
            "%s: %s no %s %s left out, as %s",
            printable(directory), count(len(others), "entry is", "entries are"), ", ".join(SUFFIXES),
            "file and is" if len(others) == 1 else "files and are", printable(others[0]),
        )  # fmt: skip
    return found


def names_of(kinds: dict[str, str], kind: str) -> list[str]:
    """The entries of this kind."""
    return [name for name, found in kinds.items() if found == kind]


def pictures_below(directory: str) -> Iterator[str]:
    """The paths of the image files below a directory, at any depth, through links too; each directory's sorted by name.

    Hidden files and directories are left out, and a link back to a directory that it lies in. An entry that leads
    nowhere comes as a path, so that whoever reads it says what is wrong. Raises BadDataError for a directory that
    cannot be read.
    """
    for place, entries in _levels(directory, ()):
        kinds = entries or {}
        for name in sorted(kinds):
            if kinds[name] not in ("directory", "file", "special") or (
                kinds[name] != "directory" and _is_picture(name)
            ):
                yield os.path.join(place, name)


_Identity = tuple[int, int]


def _levels(directory: str, around: tuple[_Identity, ...]) -> Iterator[tuple[str, dict[str, str] | None]]:
    """This directory and those below it, through links too, each with the kinds of its entries.

    around: the directories that it lies in. A link back to one of those, or to one below, has None and nothing below.
    """
    left = [(directory, around)]
    while left:
        place, above = left.pop()
        own = _identity(place)
        if own in above:
            yield place, None
            continue
        kinds = _kinds(place)
        yield place, kinds
        inside = sorted(names_of(kinds, "directory"), reverse=True)
        left += [(os.path.join(place, name), (*above, own)) for name in inside]


def _around(directory: str) -> tuple[_Identity, ...]:
    """The directories that this one lies in, as its path names them."""
    return tuple(_identity(str(parent)) for parent in Path(os.path.abspath(directory)).parents)


def _identity(directory: str) -> _Identity:
    """Two numbers that a directory has under all its names."""
    try:
        status = os.stat(directory)
    except OSError as error:
        raise BadDataError(f"{printable(directory)} cannot be read ({_reason(error)}); make it readable") from None
    return status.st_dev, status.st_ino


def _kinds(directory: str) -> dict[str, str]:
    """The kind of each entry that is not hidden."""
    return {entry.name: _kind(entry) for entry in _entries(directory)}


def _checked(directory: str, kinds: dict[str, str]) -> dict[str, str]:
    """The kinds. Raises BadDataError for what leads nowhere, cannot be looked at, or has no end and an image's name."""
    broken = {name: kind for name, kind in kinds.items() if kind not in ("directory", "file", "special")}
    broken |= {name: "no regular file" for name in names_of(kinds, "special") if _is_picture(name)}
    if broken:
        named = [f"{printable(name)} ({printable(broken[name])})" for name in sorted(broken)]
        raise BadDataError(
            f"{printable(directory)}: {len(broken)} of {count(len(kinds), 'entry', 'entries')} cannot be read: "
            f"{some(named)}; repair or remove {them(len(broken))}"
        )
    return kinds


def _kind(entry: os.DirEntry[str]) -> str:
    """directory, file or special, through links; else the reason why it is none of them."""
    try:
        if entry.is_dir():
            return "directory"
        if entry.is_file():
            return "file"
        os.stat(entry.path)
        return "special"
    except FileNotFoundError:
        return f"a link to {os.readlink(entry.path)}, which is not there" if entry.is_symlink() else "it is gone"
    except OSError as error:
        return _reason(error)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    """The entries of a directory that are not hidden. Raises BadDataError."""
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise BadDataError(f"{printable(directory)} cannot be read ({_reason(error)}); make it readable") from None


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
