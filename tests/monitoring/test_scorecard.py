"""The scores of a split in full, for people and for programs."""

import json

import numpy as np
import pytest

from pipeline.engine.tally import Tally
from pipeline.metrics.counts import of_confusion
from pipeline.metrics.ranking import Ranking
from pipeline.metrics.summary import summarize
from pipeline.monitoring import scorecard
from pipeline.monitoring.journal import plain

NAMES = ("ant", "bee", "cow")
CONFUSION = np.array([[6, 2, 0], [1, 1, 0], [0, 0, 0]])
RANKINGS = [Ranking(0.5, 0.25), Ranking(0.75, 1.0), Ranking(np.nan, np.nan)]


def tally(asked=()) -> Tally:
    metrics = summarize(asked, 10, of_confusion(CONFUSION), RANKINGS, {"top2": 9}) if asked else None
    return Tally(np.array([5.0], np.float32), CONFUSION, (), 3, metrics)


def test_lines_without_metrics():
    assert scorecard.lines("test", 7, tally(), NAMES) == [
        "test at step 7: accuracy 70.00%, loss 0.5000, 10 examples; 95% interval 39.68% to 89.22%",
        "  ant  75.00%",
        "  bee  50.00%",
        "  ant taken for bee: 2, 25.00% of its examples",
        "  bee taken for ant: 1, 50.00% of its examples",
    ]


def test_lines_with_metrics():
    assert scorecard.lines("test", 7, tally(("top2", "recall", "auroc")), NAMES)[1:7] == [
        "  top2    90.00%  95% interval 59.58% to 98.21%",
        "  recall  62.50%  weighted 70.00%, micro 70.00%",
        "  auroc   62.50%  weighted 55.00%",
        "  class  accuracy  recall   auroc",
        "  ant      75.00%  75.00%  50.00%",
        "  bee      50.00%  50.00%  75.00%",
    ]


def test_the_classes_of_least_accuracy_are_shown_where_there_are_many():
    confusion = np.diag(np.arange(30) + 1)
    confusion[:, 0] += 1
    many = Tally(np.array([1.0], np.float32), confusion, (), 29)
    lines = scorecard.lines("test", 7, many, [f"class {i}" for i in range(30)])
    assert lines[1:3] == ["  class 1   66.67%", "  class 2   75.00%"]
    assert lines[21] == "  and 10 classes with 95.45% or more"
    assert lines[22:24] == [f"  class {i} taken for class 0: 1, {1 / (i + 2):.2%} of its examples" for i in (1, 2)]


def test_json_is_strict_and_has_every_class():
    told = json.loads(
        json.dumps(plain(scorecard.as_dict(tally(("top2", "precision", "auroc")), NAMES)), allow_nan=False)
    )
    assert told["accuracy_interval"] == [pytest.approx(0.39677, abs=1e-4), pytest.approx(0.89220, abs=1e-4)]
    assert told["worst_pairs"][0] == {"label": "ant", "predicted": "bee", "examples": 2, "share": 0.25}
    assert told["metrics"]["precision"]["macro"] == pytest.approx((6 / 7 + 1 / 3) / 2)
    assert told["by_class"]["ant"]["precision_interval"][0] < 6 / 7 < told["by_class"]["ant"]["precision_interval"][1]
    assert told["by_class"]["cow"] == {"examples": 0, "precision": None, "auroc": None}
