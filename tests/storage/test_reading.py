"""JSON from files that nobody vouches for."""

import pytest

from pipeline.storage.reading import parse_json


@pytest.mark.parametrize("as_it_is_read", [str, str.encode])
def test_json_of_any_text_that_a_file_can_hold(as_it_is_read):
    assert parse_json(as_it_is_read(r'{"a": ["\ud83d\uDE00", "🐝", "\\ud800"]}')) == {"a": ["😀", "🐝", "\\ud800"]}


@pytest.mark.parametrize(
    "text", [r'"\ud800"', r'{"\uDFFF": 1}', r'["\ude00\ud83d"]', "NaN", "[Infinity]", "[" * 60000, ""]
)
def test_other_json_is_refused(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_halves_of_characters_for_who_says_himself_what_is_wrong():
    assert parse_json(r'{"path": "\ud800"}', halves=True) == {"path": "\ud800"}
