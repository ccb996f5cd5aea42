"""A check of a whole data set: what is broken, what is there twice, and how the classes and sizes are spread."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.datasets import reading
from pipeline.sources.base import Source, Splits


class Fault(NamedTuple):
    """An example that cannot be used, or may not be whole."""

    split: str
    where: str
    reason: str  # to follow `where` in a sentence


class Member(NamedTuple):
    """One of several examples with equal pixels."""

    split: str
    where: str
    class_name: str  # of several classes, all of them, with | between


class Checked(NamedTuple):
    """What was found in one split."""

    counts: npt.NDArray[np.int64]  # [classes]: its examples, broken ones too; one of several labels counts in each
    num_bytes: int
    sizes: Mapping[tuple[int, int], int]  # (height, width) -> pictures
    broken: Sequence[Fault]
    remarks: Sequence[Fault]
    hashes: npt.NDArray[np.uint64]  # [examples]: of the pixels; 0 for those that are broken
    labels: Sequence[tuple[int, ...]]  # of each example
    seconds: float
    read_s: float  # of all threads together
    decode_s: float

    @property
    def num_examples(self) -> int:
        """The number of examples, broken ones included."""
        return len(self.labels)


class Report(NamedTuple):
    """What was found in a data set."""

    class_names: tuple[str, ...]
    splits: Mapping[str, Checked]
    duplicates: Sequence[Sequence[Member]]  # groups of equal pictures, each of two or more

    @property
    def broken(self) -> list[Fault]:
        """All examples that cannot be used."""
        return [fault for checked in self.splits.values() for fault in checked.broken]

    @property
    def leaks(self) -> list[Sequence[Member]]:
        """The groups of equal pictures of which members lie in different splits."""
        return [group for group in self.duplicates if _differ(group, "split")]

    @property
    def contradictions(self) -> list[Sequence[Member]]:
        """The groups of equal pictures of which members have different classes."""
        return [group for group in self.duplicates if _differ(group, "class_name")]

    @property
    def repetitions(self) -> list[Sequence[Member]]:
        """The groups of equal pictures of one class that lie in one split."""
        return [group for group in self.duplicates if not _differ(group, "split") and not _differ(group, "class_name")]


def _differ(group: Sequence[Member], field: str) -> bool:
    return len({getattr(member, field) for member in group}) > 1


def check(splits: Splits, done: Callable[[int], None]) -> Report:
    """Reads and decodes every example of every split. done: is told how many more were read."""
    reading.decoder(splits.train.image_shape[2])  # before any time is taken
    found = {name: _checked(name, source, done) for name, source in vars(splits).items()}
    return Report(splits.train.class_names, found, _duplicates(splits, found))


def _checked(name: str, source: Source, done: Callable[[int], None]) -> Checked:
    begun = time.perf_counter()
    labels: list[tuple[int, ...]] = []
    hashes = np.empty(len(source), np.uint64)
    broken, remarks, sizes = [], [], Counter[tuple[int, int]]()
    num_bytes, read_s, decode_s = 0, 0.0, 0.0
    for index, looked in enumerate(reading.look_at_all(source, done)):
        labels.append(looked.labels)
        hashes[index] = looked.pixels_hash
        num_bytes, read_s, decode_s = num_bytes + looked.num_bytes, read_s + looked.read_s, decode_s + looked.decode_s
        if looked.fault:
            broken.append(Fault(name, source.where(index), looked.fault))
        else:
            sizes[looked.shape[:2]] += 1
        if looked.remark:
            remarks.append(Fault(name, source.where(index), looked.remark))
    counts = np.bincount(np.array([*itertools.chain(*labels)], np.int64), minlength=len(source.class_names))
    seconds = time.perf_counter() - begun
    return Checked(counts, num_bytes, sizes, broken, remarks, hashes, labels, seconds, read_s, decode_s)


def _words(labels: tuple[int, ...], class_names: Sequence[str]) -> str:
    return "|".join(class_names[label] for label in sorted(labels)) or "no class"


def _duplicates(splits: Splits, found: Mapping[str, Checked]) -> list[list[Member]]:
    """The groups of examples with equal hashes, in the order of their first members."""
    hashes = np.concatenate([checked.hashes for checked in found.values()])
    names = [name for name, checked in found.items() for _ in range(checked.num_examples)]
    indices = [index for checked in found.values() for index in range(checked.num_examples)]
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=np.uint64(0), append=np.uint64(0)))
    groups = [order[a:b].tolist() for a, b in itertools.pairwise(starts) if b - a > 1]

    def member(place: int) -> Member:
        name, index = names[place], indices[place]
        source: Source = getattr(splits, name)
        return Member(name, source.where(index), _words(found[name].labels[index], source.class_names))

    return [[member(place) for place in group] for group in sorted(groups)]
