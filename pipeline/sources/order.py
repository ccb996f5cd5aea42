"""The order of pictures, which depends on nothing but their names: CLASS/FILE, whatever holds them."""

import hashlib
import os
from collections.abc import Callable, Sequence


def names(given: Sequence[str], classes: Sequence[str], otherwise: Callable[[], Sequence[str]]) -> Sequence[str]:
    """The name of each picture that decides its place: the last two parts of its path, as in a folder of classes.

    given: the paths; "" for a picture without one. classes: of each, which stands before a path of one part. Where two
    pictures have the same two parts, whole paths are the names of all; where two have one path, or one has none, the
    names that `otherwise` gives.
    """
    paths = [path if "/" in path.strip("/") else f"{label}/{path}" for path, label in zip(given, classes, strict=True)]
    short = ["/".join(path.split("/")[-2:]) for path in paths]
    distinct = [names for names in (short, paths) if all(given) and len(set(names)) == len(names)]
    return distinct[0] if distinct else otherwise()


def by_hash(chosen: Sequence[str]) -> list[int]:
    """The numbers of the pictures of these names, in the order of a hash of their names."""
    hashes = [hashlib.sha256(os.fsencode(name)).digest() for name in chosen]
    return sorted(range(len(hashes)), key=hashes.__getitem__)
