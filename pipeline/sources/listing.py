"""Directories of images: class directories, image files, and other entries, none of them left out in silence."""

import os
import stat
import unicodedata
from collections.abc import Collection, Iterator, Sequence

from absl import logging

from pipeline.errors import BadDataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
UNREADABLE = (".heic", ".heif", ".avif", ".jxl", ".tif", ".tiff")  # of pictures that are not decoded
SHOWN = 20  # names in a message; how many more there are is a number
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, bytes that are not UTF-8, and line breaks


def printable(path: str) -> str:
    r"""The path as text that can be printed everywhere; bytes that are not UTF-8 become \xNN."""
    return os.fsencode(path).decode(errors="backslashreplace")


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
    kinds = _kinds(directory)
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
    """The paths of the image files of one class, in no order; at least one.

    Everything else that is not hidden is left out, which is told: other files, and image files in nested directories.
    Raises BadDataError for an entry that leads nowhere or cannot be read to its end, and for UNREADABLE pictures.
    """
    kinds = _kinds(directory)
    files = names_of(kinds, "file")
    if unreadable := sorted(name for name in files if name.lower().endswith(UNREADABLE)):
        raise BadDataError(
            f"{printable(directory)}: {count(len(unreadable), 'file')} of kinds that are not read: "
            f"{some(list(map(printable, unreadable)))}; convert {them(len(unreadable))} to PNG or JPEG, or remove "
            f"{them(len(unreadable))}"
        )
    found = [name for name in files if _is_picture(name)]
    nested = [_nested(directory, name) for name in sorted(names_of(kinds, "directory"))]
    if not found:
        raise BadDataError(_nothing(directory, [words for words in nested if words]))
    others = sorted(set(files) - set(found)) + sorted(names_of(kinds, "special"))
    if others:
        logging.warning(
            "%s: %s no %s %s left out, as %s",
            printable(directory), count(len(others), "entry is", "entries are"), ", ".join(SUFFIXES),
            "file and is" if len(others) == 1 else "files and are",
            printable(os.path.join(directory, others[0])),
        )  # fmt: skip
    for words in filter(None, nested):
        logging.warning("%s: %s, left out; move them one directory up", printable(directory), words)
    return [os.path.join(directory, name) for name in found]


def names_of(kinds: dict[str, str], kind: str) -> list[str]:
    """The entries of this kind."""
    return [name for name, found in kinds.items() if found == kind]


def pictures_below(directory: str) -> Iterator[str]:
    """The paths of the image files below a directory, at any depth, through links too; each directory's sorted by name.

    Hidden files and directories are left out, and a link back to a directory that it lies in. An entry that leads
    nowhere comes as a path, so that whoever reads it says what is wrong. Raises BadDataError for a directory that
    cannot be read.
    """
    return _below(directory, ())


def _below(directory: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    own = _identity(directory)
    if own in above:
        return
    kinds = {entry.name: _kind(entry) for entry in _entries(directory)}
    for name in sorted(kinds):
        if kinds[name] not in ("directory", "file", "special") or (kinds[name] != "directory" and _is_picture(name)):
            yield os.path.join(directory, name)
    for name in sorted(names_of(kinds, "directory")):
        yield from _below(os.path.join(directory, name), (*above, own))


def _identity(directory: str) -> tuple[int, int]:
    """Two numbers that a directory has under all its names."""
    try:
        status = os.stat(directory)
    except OSError as error:
        raise BadDataError(f"{printable(directory)} cannot be read ({_reason(error)}); make it readable") from None
    return status.st_dev, status.st_ino


def _kinds(directory: str) -> dict[str, str]:
    """The kind of each entry that is not hidden: directory, file, or special, as a pipe is.

    Raises BadDataError for entries that lead nowhere or cannot be looked at, and special ones called as images are.
    """
    entries = _entries(directory)
    kinds = {entry.name: _kind(entry) for entry in entries}
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


def _nested(directory: str, name: str) -> str:
    """A clause about the image files in a directory that lies in a class directory; '' if there are none."""
    number = sum(1 for _ in _below(os.path.join(directory, name), (_identity(directory),)))
    return f"its directory {printable(name)} holds {count(number, 'image file')}" if number else ""


def _nothing(directory: str, nested: Collection[str]) -> str:
    """The line about a class directory without image files of its own."""
    start = f"{printable(directory)} holds no {', '.join(SUFFIXES)} files"
    if nested:
        return f"{start} of its own, but {' and '.join(nested)}; move them one directory up"
    return f"{start}; put images there or remove it"


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
