import os

import pytest

from pipeline.errors import BadDataError
from pipeline.serving import inputs


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A few files, relative to which the words are given."""
    for name in (
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "sub/c.jpeg",
        "sub/deep/d.png",
        ".git/e.png",
        "x[1].png",
        "a[1]/f.png",
        "a[1]/deep/g.png",
        "a[1]/deep/er/h.png",
        "a1/not_asked_for.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (["b.png", "a.JPG", "b.png"], ["b.png", "a.JPG", "b.png"]),
        (["missing.png"], ["missing.png"]),  # whoever reads it says so
        (["notes.txt"], ["notes.txt"]),
        (["sub/", "b.png"], ["sub/c.jpeg", "sub/deep/d.png", "b.png"]),
        (["*.png"], ["b.png", "x[1].png"]),
        (["**/d*.png"], ["sub/deep/d.png"]),
        (["s*"], ["sub/c.jpeg", "sub/deep/d.png"]),
        (["sub/**"], ["sub/c.jpeg", "sub/deep/d.png"]),
        (["x[1].png"], ["x[1].png"]),  # a file of that name goes before what it would match
        (["?.png", "[a-c].*"], ["b.png", "a.JPG", "b.png"]),
        (["a[1]/*.png"], ["a[1]/f.png"]),  # so does a folder
        (["a[1]/de*/**/*.png"], ["a[1]/deep/er/h.png", "a[1]/deep/g.png"]),
        (["a[1]"], ["a[1]/f.png", "a[1]/deep/g.png", "a[1]/deep/er/h.png"]),
    ],
)
def test_words_become_paths_in_order(words, paths, tree):
    assert inputs.expand(words, []) == paths


def test_a_folder_stands_for_all_below_it_each_sorted_by_name(tree):
    expected = "./a.JPG ./b.png ./x[1].png ./a1/not_asked_for.png ./a[1]/f.png ./a[1]/deep/g.png ./a[1]/deep/er/h.png"
    assert inputs.expand(["."], []) == [*expected.split(), "./sub/c.jpeg", "./sub/deep/d.png"]


def test_standard_input_gives_names_and_no_globs(tree):
    lines = ["b.png\n", "\n", "sub\r\n", "*.png\n", "a.JPG"]
    assert inputs.expand(["a.JPG", "-"], lines) == ["a.JPG", "b.png", "sub/c.jpeg", "sub/deep/d.png", "*.png", "a.JPG"]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("empty", "empty holds no .png, .jpg, .jpeg, .webp, .bmp, .gif files; give"),
        ("*.gif", "*.gif matches nothing; correct it"),
    ],
)
def test_what_stands_for_no_file_is_refused(word, line, tree):
    with pytest.raises(BadDataError) as told:
        inputs.expand([word], [])
    assert str(told.value).startswith(line)


def test_links_are_followed_as_training_follows_them_and_never_in_a_circle(tmp_path):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "deep" / "a.png").touch()
    (tmp_path / "far" / "deep" / "up").symlink_to("..")
    (tmp_path / "far" / "self").symlink_to(tmp_path / "far")
    (tmp_path / "near").mkdir()
    for name in ("x", "y"):  # no circle: two names for one folder
        (tmp_path / "near" / name).symlink_to("../far")
    assert inputs.expand([str(tmp_path / "near")], []) == [f"{tmp_path}/near/{name}/deep/a.png" for name in "xy"]


def test_links_to_nothing_are_passed_on_to_be_named(tmp_path):
    (tmp_path / "gone").symlink_to("nowhere")  # a folder or a picture, who can tell
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    assert inputs.expand([str(tmp_path)], []) == [f"{tmp_path}/{name}" for name in ("gone", "loop.png", "pipe.jpg")]
