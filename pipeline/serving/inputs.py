"""Which files the words of a command line name: files, folders, globs, and `-` for names on standard input."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence

from pipeline.errors import BadDataError
from pipeline.sources.files import SUFFIXES


def expand(words: Sequence[str], stdin: Iterable[str]) -> list[str]:
    """The paths, in the order of the words; those of a folder or a glob sorted by name.

    A folder stands for the image files below it, at any depth, hidden ones left out. A word that names nothing is
    taken for a glob if it looks like one (** for any depth), else for a path, so that whoever reads it says what is
    wrong. `-` stands for the lines of `stdin`, which are paths and no globs.
    Raises BadDataError for a folder or a glob that stands for no file.
    """
    paths: list[str] = []
    for word in words:
        if word == "-":
            for line in stdin:
                paths += _files(line.rstrip("\r\n")) if line.strip() else []
        elif glob.has_magic(word) and not os.path.lexists(word):
            paths += _matching(word)
        else:
            paths += _files(word)
    return paths


def _matching(pattern: str) -> list[str]:
    matches = sorted(glob.glob(pattern, recursive=True))
    if "**" in pattern:  # it goes into folders itself
        matches = [path for path in matches if not os.path.isdir(path)]
    if not matches:
        raise BadDataError(f"{pattern} matches nothing; correct it (in quotes, if the shell must leave it alone)")
    return [path for match in matches for path in _files(match)]


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    found = list(_below(path))
    if not found:
        raise BadDataError(f"{path} holds no {', '.join(SUFFIXES)} files; give a folder that does")
    return found


def _below(directory: str) -> Iterator[str]:
    for parent, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(parent, name)
