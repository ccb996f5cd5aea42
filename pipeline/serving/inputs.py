"""The files that the words of a command line name: files, folders, globs, and `-` for names on standard input."""

import glob
import os
from collections.abc import Iterable, Sequence

from pipeline.errors import BadDataError
from pipeline.sources.listing import SUFFIXES, pictures_below, printable


def expand(words: Sequence[str], stdin: Iterable[str]) -> list[str]:
    """The paths, in the order of the words; those of a folder or a glob sorted by name.

    A folder stands for the image files below it, at any depth, through links too, hidden ones left out. A word that
    names nothing is taken for a glob if it looks like one (** for any depth), else for a path, so that whoever reads it
    says what is wrong. A folder that is there is no glob, also at the start of one: `a[1]/*.png` are the files of the
    folder a[1]. `-` stands for the lines of `stdin`, which are paths and no globs.
    Raises BadDataError for a folder or a glob that stands for no file, and a folder that cannot be read.
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
    matches = sorted(glob.glob(_literal_start(pattern), recursive=True))
    if "**" in pattern:  # it goes into folders itself
        matches = [path for path in matches if not os.path.isdir(path)]
    if not matches:
        raise BadDataError(f"{pattern} matches nothing; correct it (in quotes, if the shell must leave it alone)")
    return [path for match in matches for path in _files(match)]


def _literal_start(pattern: str) -> str:
    """The pattern with the folders at its start that are there under just these names freed of their meaning."""
    start, slash, rest = pattern.rpartition("/")
    while slash and not os.path.isdir(start):
        start, slash, _ = start.rpartition("/")
        rest = pattern[len(start) + len(slash) :]
    return glob.escape(start + slash) + rest


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    found = list(pictures_below(path))
    if not found:
        raise BadDataError(f"{printable(path)} holds no {', '.join(SUFFIXES)} files; give a folder that does")
    return found
