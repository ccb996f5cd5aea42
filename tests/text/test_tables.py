from pipeline.text import tables


def test_columns_are_as_wide_as_their_widest_cell_and_flush_where_asked():
    rows = [["run", "steps", "state"], ["a", "1,000", "done"], ["longer", "7", ""]]
    assert tables.aligned(rows) == ["run     steps  state", "a       1,000  done", "longer  7"]
    assert tables.aligned(rows, right=[1]) == ["run     steps  state", "a       1,000  done", "longer      7"]


def test_pairs_are_two_columns_indented():
    assert tables.pairs({"a": "1", "long name": "2"}) == "  a          1\n  long name  2"
