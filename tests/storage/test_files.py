"""Paths as users write them."""

import os

import pytest

from pipeline.errors import UsageError
from pipeline.storage.files import expand


def test_a_home_directory_is_put_in(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand("~/x", "run_dir") == "/home/me/x" and expand("~", "run_dir") == "/home/me"
    assert [expand(path, "run_dir") for path in ("x/~", "/a/~/b", "", "a~")] == ["x/~", "/a/~/b", "", "a~"]
    assert expand("~root", "run_dir") == os.path.expanduser("~root") != "~root"


@pytest.mark.parametrize("path", ["~", "~/x/y", "~nobody-of-this-name", "~nobody-of-this-name/x"])
def test_a_home_that_is_not_known_is_refused(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without HOME, and without a line in passwd
    with pytest.raises(UsageError, match=f"^run_dir={path}: no home directory is known for ~"):
        expand(path, "run_dir")
    (tmp_path / path.split("/")[0]).mkdir()  # unless it is the name of something
    assert expand(path, "run_dir") == path


def test_a_path_that_is_not_text_is_refused():
    with pytest.raises(UsageError, match=r"run_dir=runs/\\xff is not UTF-8 text; rename it"):
        expand("runs/\udcff", "run_dir")
