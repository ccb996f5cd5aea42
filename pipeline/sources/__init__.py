"""Sources of examples, by the name that --source gives: KIND or KIND:ARGUMENT.

To add one, write a module with `open_splits(argument, config) -> Splits` and give it a line in KINDS.
"""

from __future__ import annotations  # base imports TensorFlow, so its names are for the type checker alone

import importlib
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import BadDataError, UsageError
from pipeline.storage import stores
from pipeline.text.spelling import nearest

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.sources.base import Splits
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


def open_splits(config: Config, examine: bool = True) -> Splits:
    """The three splits of `config.source`, none of them empty, all with the same classes and image shape.

    examine: whether pictures are looked at, as far as a start of a training does.
    Raises UsageError or BadDataError, each naming what is wrong with the flags or the data.
    """
    check(config.source)
    name, _, argument = config.source.partition(":")
    for flag, kinds in _FLAGS_OF.items():
        if getattr(config, flag) and name not in kinds:
            raise UsageError(f"--{flag} is of --source={', '.join(kinds)}, and not of {name}; leave it out")
    module = importlib.import_module(f"pipeline.sources.{KINDS[name].module}")
    how = {} if examine or name not in OF_PICTURES else {"examine": False}
    splits = module.open_splits(argument or KINDS[name].default, config, **how)
    check_agreement(config.source, splits)
    return _of_size(config.size, splits)


def _of_size(size: ImageSize, splits: Splits) -> Splits:
    """The splits, resized to images of that size; as they are for (0, 0), or if they have it."""
    from pipeline.sources.base import Resized, Splits

    if splits.train.image_shape[:2] == size or not size.height:
        return splits
    return Splits(**{name: Resized(split, *size) for name, split in vars(splits).items()})


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
