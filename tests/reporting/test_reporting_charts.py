"""Charts: well-formed SVG that shows every point and every count, in which the names that users gave are but text."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from pipeline.reporting import charts
from pipeline.reporting.charts import HEIGHT, WIDE, Line, Mark

HOSTILE = "</title><script>alert('&')</script>"


def parsed(svg) -> ET.Element:
    return ET.fromstring(str(svg))


def titles(svg) -> list[str]:
    return [title.text or "" for title in parsed(svg).iter("title")]


def test_a_curve_goes_through_its_points():
    svg = charts.curves("loss", [Line("train", [(0, 1.0), (50, 2.0), (100, 3.0)], 0)])
    [path] = [path.get("d") for path in parsed(svg).iter("path")]
    places = [tuple(map(float, place.split())) for place in path[1:].split("L")]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert all(0 < x < WIDE and 0 < y < HEIGHT for x, y in places)
    assert titles(svg) == ["train, step 0: 1", "train, step 50: 2", "train, step 100: 3"]


def test_lines_share_their_axes():
    svg = charts.curves("loss", [Line("a", [(0, 1.0), (10, 1.0)], 0), Line("b", [(10, 1.0), (20, 2.0)], 9)])
    a, b = [path.get("d")[1:].split("L") for path in parsed(svg).iter("path")]
    assert a[1] == b[0]
    assert [path.get("class") for path in parsed(svg).iter("path")] == ["line c0", "line c1 dashed"]


def test_one_point_is_a_dot_and_none_is_no_chart():
    assert parsed(charts.curves("loss", [Line("a", [(10, 1.0)], 0)])).find("circle").get("class") == "dot c0"
    assert charts.curves("loss", [Line("a", [], 0)]) is None


def test_a_mark_lies_on_its_step():
    svg = charts.curves("loss", [Line("a", [(0, 0.0), (100, 1.0)], 0)], [Mark(100, HOSTILE)])
    mark = next(g for g in parsed(svg).iter("g") if g.get("class") == "mark")
    end = next(path for path in parsed(svg).iter("path") if "line" in path.get("class", "")).get("d").split("L")[1]
    assert mark.find("line").get("x1") == end.split()[0]
    assert HOSTILE in titles(svg)


@pytest.mark.parametrize("classes", [2, 10, 24, 25, 100])
def test_a_matrix_tells_every_count(classes):
    counts = np.random.default_rng(0).integers(0, 4, (classes, classes))
    names = [f"class {i}" for i in range(classes)]
    told = {
        (names.index(m[2]), names.index(m[3])): int(m[1])
        for title in titles(charts.matrix(counts, names))
        if (m := re.match(r"(\d+) of class (class \d+) were taken for (class \d+) \(", title))
    }
    assert told == {(i, j): counts[i, j] for i, j in np.ndindex(classes, classes) if counts[i, j]}


def test_a_matrix_numbers_its_cells_as_long_as_they_can_be_read():
    shown = {n: "count" in charts.matrix(np.eye(n, dtype=int), ["x"] * n) for n in (24, 25)}
    assert shown == {24: True, 25: False}
    assert charts.matrix(np.eye(101, dtype=int), ["x"] * 101) is None


def test_the_diagonal_is_told_from_mistakes_also_where_two_classes_have_one_name():
    svg = charts.matrix(np.array([[1, 2], [0, 3]]), ["same", "same"])
    kinds = [rect.get("class") for rect in parsed(svg).iter("rect")]
    assert kinds == ["right", "wrong", "empty", "right"]


def test_names_are_text_and_a_class_without_examples_is_no_error():
    svg = charts.matrix(np.array([[0, 0], [1, 0]]), [HOSTILE, "an endless name of a class"])
    assert not list(parsed(svg).iter("script"))
    assert any(HOSTILE in title for title in titles(svg))


def test_shares_fill_the_bar():
    bars = [float(rect.get("width")) for rect in parsed(charts.shares("time", {"a": 3.0, "b": 1.0})).iter("rect")]
    assert bars == pytest.approx([748, 248])
