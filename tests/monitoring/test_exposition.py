"""The page for Prometheus, read by the parser of Prometheus' own client library."""

import math
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.monitoring import exposition, metrics_server
from pipeline.monitoring.exposition import Metric


def read(page: str) -> dict:
    """(name, labels) -> value."""
    families = text_string_to_metric_families(page)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_names_labels_and_numbers_are_read_as_they_were_meant():
    odd = 'a "quoted" \\ path,\nof {two} lines'
    values = [0.1, -3, 1e300, 5e-324, math.inf, -math.inf]
    metrics = [
        Metric("pipeline_a", odd, [({"label": odd, "n": str(n)}, value) for n, value in enumerate(values)]),
        Metric("pipeline_b_total", "Counts.", [({}, 2**53)]),
        Metric("pipeline_none", "Nothing.", []),
    ]
    page = exposition.text(metrics)
    expected = {("pipeline_a", frozenset({"label": odd, "n": str(n)}.items())): v for n, v in enumerate(values)}
    assert read(page) == expected | {("pipeline_b_total", frozenset()): 2**53}
    kinds = {family.name: family.type for family in text_string_to_metric_families(page)}
    assert kinds == {"pipeline_a": "gauge", "pipeline_b": "counter"}


def test_what_is_not_finite_is_a_number_of_prometheus():
    [value] = read(exposition.text([Metric("pipeline_a", "A.", [({}, math.nan)])])).values()
    assert math.isnan(value)


def test_a_page_that_fails_is_an_answer_and_the_next_one_is_served():
    pages = iter([ZeroDivisionError("of ours"), "a 1\n"])

    def page() -> str:
        if isinstance(found := next(pages), Exception):
            raise found
        return found

    with metrics_server.serving("127.0.0.1", 0, page) as port:
        address = f"http://127.0.0.1:{port}"
        with pytest.raises(urllib.error.HTTPError, match="ZeroDivisionError: of ours"):
            urllib.request.urlopen(f"{address}/metrics", timeout=10)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/", timeout=10)
        with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
            assert (answer.read(), answer.headers["Content-Type"]) == (b"a 1\n", exposition.CONTENT_TYPE)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{address}/metrics", timeout=10)
