"""Sources of examples, by the name that --source gives: KIND or KIND:ARGUMENT.

To add one, write a module with `own_splits(argument, config) -> dict[str, Source]`, the splits that the data have, and
give it a line in KINDS.
"""

from __future__ import annotations  # base imports TensorFlow, so its names are for the type checker alone

import importlib
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import BadDataError, UsageError
from pipeline.storage import stores
from pipeline.text.spelling import nearest

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.sources.base import Source, Splits
    from pipeline.sources.classes import Names
    from pipeline.text.flag_values import ImageSize


class Kind(NamedTuple):
    """A kind of source: the module that opens it, and the argument that may follow the colon."""

    module: str  # imported when the source is opened
    argument: str = ""  # the argument's name in messages; in [brackets] where it may be left out
    default: str = ""  # given to the module where the argument is left out

    @property
    def form(self) -> str:
        """The part of a spec that follows the name: "", ":DIR" or "[:NUMBER]"."""
        colon = "[:" if self.argument.startswith("[") else ":"
        return colon + self.argument.removeprefix("[") if self.argument else ""


KINDS = {
    "digits": Kind("digits", "[NUMBER]", "60000"),
    "mnist": Kind("tfds", default="mnist"),
    "tfds": Kind("tfds", "NAME[/CONFIG][:VERSION]"),
    "idx": Kind("idx", "DIR"),
    "folder": Kind("folder", "DIR"),
    "csv": Kind("table", "FILE"),
    "tfrecord": Kind("tfrecord", "GLOB"),
    "tar": Kind("tar", "GLOB"),
    "fake": Kind("fake", "[NUMBER]", "60000"),
}
OF_PICTURES = ("folder", "csv", "tfrecord", "tar")  # kinds of picture files, alone or packed, whose names order them
_ANYWHERE = (OF_PICTURES, ("idx",))  # groups of kinds in which the same examples have the same fingerprint
_FLAGS_OF = {
    "record_image_key": ("tfrecord", "tfds"),
    "record_label_key": ("tfrecord", "tfds"),
    "class_names": OF_PICTURES,
    "multi_label": ("csv", "tfrecord", "tar", "tfds", "fake"),
}
DOWNLOADED = ("mnist", "tfds")  # kinds that are fetched from the network where they are not there yet


def check(spec: str) -> None:
    """Raises UsageError unless `spec` names a source and gives it an argument of its form; opens nothing."""
    if not _is_text(spec):
        raise UsageError(f"source={os.fsencode(spec)!r} is not UTF-8 text; rename that directory")
    name, _, argument = spec.partition(":")
    if name not in KINDS:
        raise UsageError(f"source={spec} is unknown{nearest(name, KINDS)}")
    wanted = KINDS[name].argument
    if argument and not wanted:
        raise UsageError(f"source={spec} says '{argument}' but {name} takes no argument; use --source={name}")
    if not argument and wanted and not wanted.startswith("["):
        raise UsageError(f"source={spec} lacks its {wanted}; use --source={name}:{wanted}")
    if argument and wanted == "[NUMBER]" and not re.fullmatch("[1-9][0-9]*", argument):
        raise UsageError(f"source={spec}: '{argument}' is not a number of training examples; use one, as {name}:6000")
    if "://" in argument:
        if wanted != "GLOB":
            raise UsageError(
                f"source={spec} is no path of this machine; only tfrecord and tar files are read from object storage"
            )
        stores.check_readable(argument, f"source={spec}")


def _is_text(spec: str) -> bool:
    """Whether the spec can be written to a file; a path whose bytes are not UTF-8 cannot."""
    try:
        spec.encode()
    except UnicodeEncodeError:
        return False
    return True


def normalized(spec: str) -> str:
    """`spec` with its path in one spelling: 'folder:./data/' is 'folder:data'. Every other spec as it is.

    Where a path goes up (..), nothing is taken out of it: links may lie on the way.
    """
    name, colon, path = spec.partition(":")
    if name not in KINDS or KINDS[name].argument not in ("DIR", "FILE") or not path or ".." in path.split("/"):
        return spec
    parts = [part for part in path.split("/") if part not in ("", ".")]
    plain = "/" * path.startswith("/") + "/".join(parts)
    if plain.startswith("~") and not path.startswith("~"):
        plain = f"./{plain}"  # a directory of that name, and no home
    return f"{name}{colon}{plain or '.'}"


def may_be_same(spec: str, other: str) -> bool:
    """Whether the files of one spec may be those of another: then only their fingerprints tell."""
    kinds = {spec.partition(":")[0], other.partition(":")[0]}
    return any(kinds <= set(group) for group in _ANYWHERE)


def open_splits(config: Config, examine: bool = True) -> Splits:
    """The three splits of `config.source`, none of them empty, all with the same classes and image shape.

    examine: whether pictures are looked at, as far as a start of a training does.
    Raises UsageError or BadDataError, each naming what is wrong with the flags or the data.
    """
    return completed(config, own_splits(config, examine=examine))


def own_splits(config: Config, named: Names | None = None, examine: bool = True) -> dict[str, Source]:
    """The splits that the data of `config.source` have, train first. Raises UsageError or BadDataError.

    named: of pictures, the settled names of their classes (None: those of --class_names). examine: as above.
    """
    from pipeline.sources import classes

    check(config.source)
    name, _, argument = config.source.partition(":")
    for flag in foreign(config):
        raise UsageError(f"--{flag} is of --source={', '.join(_FLAGS_OF[flag])}, and not of {name}; leave it out")
    module = importlib.import_module(f"pipeline.sources.{KINDS[name].module}")
    how = {"named": named or classes.given(config), "examine": examine} if name in OF_PICTURES else {}
    return module.own_splits(argument or KINDS[name].default, config, **how)


def foreign(config: Config) -> list[str]:
    """The flags that are given, and are of other kinds of source alone."""
    kind = config.source.partition(":")[0]
    return [flag for flag, kinds in _FLAGS_OF.items() if getattr(config, flag) and kind not in kinds]


def completed(config: Config, own: Mapping[str, Source]) -> Splits:
    """The three splits of a training, of those that its data have: see `open_splits`."""
    from pipeline.sources.base import Splits, complete

    splits = complete(config.source, own, config.validation_fraction)
    check_agreement(config.source, splits)
    return Splits(**{name: of_size(config.size, split) for name, split in vars(splits).items()})


def of_size(size: ImageSize, source: Source) -> Source:
    """The source, resized to images of that size; as it is for (0, 0), or if it has it."""
    from pipeline.sources.base import Resized

    return source if source.image_shape[:2] == size or not size.height else Resized(source, *size)


def check_agreement(spec: str, splits: Splits) -> None:
    """Raises BadDataError unless no split is empty and all have the same classes and image shape."""
    for name, split in vars(splits).items():
        if len(split) == 0:
            raise BadDataError(f"source={spec}: its {name} split has 0 examples; at least 1 is needed")
        if split.image_shape != splits.train.image_shape:
            raise BadDataError(
                f"source={spec}: {name} images are {split.image_shape} and train images {splits.train.image_shape}; "
                "make them the same size"
            )
        if split.class_names != splits.train.class_names:
            raise BadDataError(f"source={spec}: {name} and train have other classes; give both the same")
