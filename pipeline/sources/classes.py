"""The classes of labels that lie beside pictures: numbers or texts, with names from the data or from --class_names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.config import Config
from pipeline.errors import BadDataError
from pipeline.storage.files import expand
from pipeline.storage.reading import read_small

Numbers = dict[str, npt.NDArray[np.int32]]  # split -> the class of each of its labels


class Names(NamedTuple):
    """The names of all classes in order, where they are settled before the data are read."""

    lines: tuple[str, ...] = ()  # none: the data have names of their own
    origin: str = ""  # who gives the names, as it is told to the user
    of_other_data: bool = False  # whether a model has them that was trained on other data: these may lack some


class Labels(NamedTuple):
    """The labels in one file, in its order."""

    place: str  # the file, as it is told to the user
    values: npt.NDArray[np.int64]  # as the file has them; numbers of its own where `textual`
    texts: Mapping[int, str]  # label -> the text that the file has for it
    textual: bool = False  # whether classes are told apart by their texts alone


def numbered(values: Sequence[int | str], place: str) -> Labels:
    """The labels that a file gives as whole numbers, or as words. Raises BadDataError for both in one file."""
    textual = not all(isinstance(value, int) for value in values)
    if textual and any(isinstance(value, int) for value in values):
        word = next(value for value in values if isinstance(value, str))
        raise BadDataError(f"{place}: some labels are numbers and others words, as {word}; give all the same")
    texts = sorted({str(value) for value in values}) if textual else []
    numbers = {text: number for number, text in enumerate(texts)}
    column = [numbers[str(value)] if textual else int(value) for value in values]
    return Labels(place, np.array(column, np.int64), dict(enumerate(texts)), textual)


def parsed(value: object) -> int | str | None:
    """A label as a file gives it: a whole number of 32 bits, or text that can be printed; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, str) and value and value.isprintable():
        return value
    return value if type(value) is int and abs(value) < 2**31 else None


def parsed_several(value: object) -> tuple[int | str, ...] | None:
    """The labels in a list, each as `parsed`; None for anything else, and for a label that is there twice."""
    labels = [parsed(part) for part in value] if isinstance(value, list) else [None]
    usable = tuple(label for label in labels if label is not None)
    return usable if len(usable) == len(labels) == len(set(usable)) else None


def resolve(name: str, found: Mapping[str, Sequence[Labels]], named: Names) -> tuple[tuple[str, ...], Numbers]:
    """The names of the classes, and the class of each label, by split and in the order of its files.

    name: of the data, for messages. found: train first. Raises BadDataError for a label that is no class.
    """
    if any(part.textual for parts in found.values() for part in parts):
        return _by_text(name, found, named)
    labels = {split: np.concatenate([part.values for part in parts]) for split, parts in found.items()}
    names, of_first = named.lines, next(iter(labels.values()))
    least, most = (int(of_first.min()), int(of_first.max())) if len(of_first) else (0, 0)
    first = 1 if (most == len(names) if names else least == 1) else 0
    count = len(names) or most - first + 1
    if named.of_other_data and least > 0 and most < count:
        raise BadDataError(
            f"{name} has the labels {least} to {most}, which may be numbered from 0 or from 1: {named.origin} has "
            f"{count} classes; give data with its first class or its last, or with texts as labels"
        )
    for split, values in labels.items():
        strange = values[(values < first) | (values >= first + count)]
        if len(strange):
            raise BadDataError(
                f"{name}: {split} has the label {strange[0]}, which is no class; {count} classes are numbered from "
                f"{first}, as {named.origin or 'the training examples'} say: correct the data or that"
            )
    if count < 2:
        raise BadDataError(f"{name} has {count} class; at least 2 are needed")
    return names or _own_names(found, first, count), {
        split: (values - first).astype(np.int32) for split, values in labels.items()
    }


def _own_names(found: Mapping[str, Sequence[Labels]], first: int, count: int) -> tuple[str, ...]:
    """The texts of the labels, made different where two labels have one; numbers where a label has none."""
    texts: dict[int, str] = {}
    for part in next(iter(found.values())):
        texts = {**part.texts, **texts}
    if set(range(first, first + count)) - set(texts):
        return tuple(str(number) for number in range(count))
    named = [texts[first + number] for number in range(count)]
    return tuple(f"{text} ({number})" if named.count(text) > 1 else text for number, text in enumerate(named))


def _by_text(name: str, found: Mapping[str, Sequence[Labels]], named: Names) -> tuple[tuple[str, ...], Numbers]:
    """Classes that are told apart by their texts: numbered in their order, or in that of the given names."""
    if not all(part.textual for parts in found.values() for part in parts if len(part.values)):
        raise BadDataError(f"{name}: some files have numbers as labels and others words; give all the same")
    words = sorted({text for part in next(iter(found.values())) for text in part.texts.values()})
    class_names = named.lines or tuple(words)
    if len(class_names) < 2:
        raise BadDataError(f"{name} has {len(class_names)} class; at least 2 are needed")
    numbers = {text: number for number, text in enumerate(class_names)}
    labels = {}
    for split, parts in found.items():
        for part in parts:
            if strange := sorted(set(part.texts.values()) - set(numbers)):
                known = named.origin or "the training examples"
                raise BadDataError(f"{part.place}: {strange[0]} is no class of {known}; correct it or them")
        labels[split] = np.concatenate(
            [np.array([numbers[part.texts[i]] for i in part.values.tolist()], np.int32) for part in parts]
        )
    return class_names, labels


def given(config: Config) -> Names:
    """The lines of --class_names; none where it is not given. Raises BadDataError."""
    if not config.class_names:
        return Names()
    path = expand(config.class_names, "class_names")
    try:
        lines = read_small(Path(path)).decode().splitlines()
    except OSError as error:
        raise BadDataError(f"class_names={path} cannot be read ({error.strerror}); correct it") from None
    except UnicodeDecodeError:
        raise BadDataError(f"class_names={path} is not UTF-8 text; write one class name a line") from None
    if len(set(lines)) != len(lines) or not all(line.strip() and line.isprintable() for line in lines) or not lines:
        raise BadDataError(
            f"class_names={path} has lines that are empty, equal or not printable; write one class a line"
        )
    return Names(tuple(lines), f"--class_names={config.class_names}")
