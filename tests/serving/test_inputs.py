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
        (["."], ["./a.JPG", "./b.png", "./x[1].png", "./sub/c.jpeg", "./sub/deep/d.png"]),
        (["sub/", "b.png"], ["sub/c.jpeg", "sub/deep/d.png", "b.png"]),
        (["*.png"], ["b.png", "x[1].png"]),
        (["**/*.png"], ["b.png", "sub/deep/d.png", "x[1].png"]),
        (["s*"], ["sub/c.jpeg", "sub/deep/d.png"]),
        (["sub/**"], ["sub/c.jpeg", "sub/deep/d.png"]),
        (["x[1].png"], ["x[1].png"]),  # a file of that name goes before what it would match
        (["?.png", "[a-c].*"], ["b.png", "a.JPG", "b.png"]),
    ],
)
def test_words_become_paths_in_order(words, paths, tree):
    assert inputs.expand(words, []) == paths


def test_standard_input_gives_names_and_no_globs(tree):
    lines = ["b.png\n", "\n", "sub\r\n", "*.png\n", "a.JPG"]
    assert inputs.expand(["a.JPG", "-"], lines) == ["a.JPG", "b.png", "sub/c.jpeg", "sub/deep/d.png", "*.png", "a.JPG"]


@pytest.mark.parametrize(
    ("word", "line"),
    [("empty", "empty holds no .png, .jpg, .jpeg files; give"), ("*.gif", "*.gif matches nothing; correct it")],
)
def test_what_stands_for_no_file_is_refused(word, line, tree):
    with pytest.raises(BadDataError) as told:
        inputs.expand([word], [])
    assert str(told.value).startswith(line)
