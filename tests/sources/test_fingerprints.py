"""What examples are, in a few hashes: equal for equal examples wherever they lie, and other for any that changed."""

import shutil

import numpy as np
import pytest
from picture_folders import fill, picture, write

from pipeline import sources
from pipeline.config import Config
from pipeline.sources import fingerprints
from pipeline.sources.base import ExampleSpec, carve
from pipeline.sources.fake import Fake
from pipeline.sources.memory import InMemory


def fingerprint(root, **flags):
    return sources.open_splits(Config(source=f"folder:{root}", **flags)).spec.fingerprint


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole") / "D"
    for split, count in (("train", 6), ("test", 2), ("validation", 2)):
        fill(root / split, count)
    return root


@pytest.fixture
def copy(whole, tmp_path):
    """The same files elsewhere, copied in another order."""
    for path in sorted(whole.rglob("*.png"), reverse=True):
        to = tmp_path / "E" / path.relative_to(whole)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    return tmp_path / "E"


def test_a_copy_elsewhere_has_the_same(whole, copy):
    assert fingerprint(copy) == fingerprint(whole) == fingerprint(f"{copy}/../E/")
    assert fingerprint(copy, image_size=9) == fingerprint(whole)  # the examples are the same, their shape is told apart


def rename(root):
    (root / "train" / "ant" / "3.png").rename(root / "train" / "ant" / "x.png")


def other_class(root):
    (root / "train" / "ant" / "3.png").rename(root / "train" / "bee" / "x.png")


def swapped_classes(root):
    for name, other in (("ant", "x"), ("bee", "ant"), ("x", "bee")):
        (root / "test" / name).rename(root / "test" / other)


def other_size(root):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 1), np.uint8)
    write(root / "train" / "ant" / "3.png", pixels)


def in_every_split(root):
    for split in ("train", "test", "validation"):
        (root / split / "ant" / "1.png").unlink()
        write(root / split / "ant" / "y.png", picture(11))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (rename, "file names in train; labels in train; file sizes in train"),  # in another order, too
        (other_class, "file names in train; labels in train; file sizes in train"),
        (other_size, "file sizes in train"),
    ],
)
def test_what_changed_is_told_by_its_kind(whole, copy, change, told):
    change(copy)
    then, now = fingerprint(whole), fingerprint(copy)
    found = fingerprints.differences(then, now)
    assert then != now and set(found.split("; ")) <= set(told.split("; ")) and found.startswith(told.split("; ")[0])


def test_classes_whose_directories_changed_places_are_noticed(whole, copy):
    """Their files have the same names; if their sizes are equal too, only pixels tell."""
    write(copy / "test" / "ant" / "0.png", np.random.default_rng(0).integers(0, 256, (6, 5, 1), np.uint8))
    then = fingerprint(copy)
    swapped_classes(copy)
    assert fingerprints.differences(then, fingerprint(copy)) == "file sizes in test"


def test_all_splits_that_changed_are_named(whole, copy):
    in_every_split(copy)
    found = fingerprints.differences(fingerprint(whole), fingerprint(copy))
    assert found.startswith("file names in train, validation, test")


def in_memory(images, labels, names=("a", "b")):
    return InMemory(images, labels, names, "memory").fingerprint


def test_in_memory_every_pixel_and_every_label_counts():
    images, labels = np.zeros((4, 3, 2, 1), np.uint8), np.array([0, 1, 0, 1])
    plain = in_memory(images, labels)
    assert plain == in_memory(images.copy(), labels.astype(np.int32))
    other = images.copy()
    other[3, 2, 1] = 1
    changed = in_memory(other, labels)
    assert changed["images"] != plain["images"] and changed["labels"] == plain["labels"]
    assert in_memory(images, labels[::-1])["labels"] != plain["labels"]
    assert in_memory(images, labels, ("a", "c"))["labels"] != plain["labels"]


@pytest.mark.parametrize("source", ["fake:60", "digits:60"])
def test_every_source_has_one_and_it_depends_on_its_number(source, tmp_path):
    def of(source):
        return sources.open_splits(Config(source=source, data_dir=str(tmp_path))).spec.fingerprint

    first = of(source)
    assert first == of(source) != of(f"{source}0")
    assert fingerprints.differences(first, of(f"{source}0"))


def test_slices_of_other_examples_differ():
    train, validation = carve(Fake(100, 0), 0.25)
    assert train.fingerprint != validation.fingerprint != Fake(100, 0).fingerprint
    assert train.fingerprint != carve(Fake(100, 0), 0.26)[0].fingerprint == carve(Fake(100, 0), 0.26)[0].fingerprint


def test_a_hash_depends_on_where_a_part_ends():
    assert fingerprints.digest("ab", "c") != fingerprints.digest("a", "bc") != fingerprints.digest("abc")
    assert fingerprints.digest(b"\0\1") == fingerprints.digest(np.array([0, 1], np.uint8))
    strided = np.arange(6, dtype=np.uint8)[::2]
    assert fingerprints.digest(strided) == fingerprints.digest(bytes([0, 2, 4]))
    assert fingerprints.digest("\udcff") == fingerprints.digest(b"\xff")  # names of files that are not UTF-8


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ("train a=1; test a=2", "train a=1; test a=2", ""),
        ("train a b=1; test a b=2", "train a b=3; test a b=4", "a b in train, test"),
        ("train a=1; test b=2", "train a=0; test b=0", "a in train; b in test"),
        ("train a=1", "train b=1", "the kind of source"),
        ("what is this", "train b=1", "the kind of source"),
    ],
)
def test_differences_are_told_in_words(then, now, told):
    assert fingerprints.differences(then, now) == told


def test_a_spec_from_an_older_manifest_has_none():
    assert ExampleSpec((1, 1, 1), ("a",), 3).fingerprint == ""
