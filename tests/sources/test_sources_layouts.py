"""ImageNet's layout of a folder: which directory serves as which split, and what is told of it."""

import pytest
from absl import logging
from picture_folders import fill, picture, write

from pipeline import sources
from pipeline.config import Config
from pipeline.errors import BadDataError


@pytest.fixture
def said(monkeypatch):
    """All warnings."""
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


def open_splits(root):
    return sources.open_splits(Config(source=f"folder:{root}", validation_fraction=0.25))


def names(source):
    """CLASS/FILE of each example, with its split's directory."""
    return sorted("/".join(source.where(i).split("/")[-3:]) for i in range(len(source)))


def all_names(split, count):
    return [f"{split}/{name}/{i}.png" for name in ("ant", "bee") for i in range(count)]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_without_test_the_validation_directory_is_the_test_split(tmp_path, said, name):
    fill(tmp_path / "train")
    fill(tmp_path / name, 2)
    splits = open_splits(tmp_path)
    assert names(splits.test) == all_names(name, 2)
    assert len(splits.train) == 9 and len(splits.validation) == 3
    assert sorted(names(splits.train) + names(splits.validation)) == all_names("train", 6)
    assert said == [f"folder:{tmp_path} has no test split with labels: its validation split is used for testing"]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_beside_test_it_is_the_validation_split(tmp_path, said, name):
    fill(tmp_path / "train")
    fill(tmp_path / name, 2)
    fill(tmp_path / "test", 1)
    splits = open_splits(tmp_path)
    assert names(splits.train) == all_names("train", 6)
    assert names(splits.validation) == all_names(name, 2) and names(splits.test) == all_names("test", 1)
    told = [f"{tmp_path}/{name} is used for validation, and test for testing"]
    assert said == ([] if name == "validation" else told)


def test_the_carved_splits_are_those_of_train_and_test(tmp_path):
    """A run on train/ and val/ is the run on train/ and test/ with the same files."""
    fill(tmp_path / "train")
    fill(tmp_path / "val", 2)
    by_val = open_splits(tmp_path)
    (tmp_path / "val").rename(tmp_path / "test")
    assert by_val.spec == open_splits(tmp_path).spec


def test_two_validation_directories_are_refused(tmp_path):
    for name in ("train", "val", "validation"):
        fill(tmp_path / name, 1)
    with pytest.raises(BadDataError) as caught:
        open_splits(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/validation and {tmp_path}/val are both validation splits; remove or rename all but one"
    )


def test_classes_may_have_the_names_of_splits(tmp_path):
    """Where there is no train/, directories are classes."""
    for name in ("val", "valid"):
        for i in range(8):
            write(tmp_path / name / f"{i}.png", picture(10 + i))
    assert open_splits(tmp_path).train.class_names == ("val", "valid")
