"""Predictions of a split: those that an evaluation scores, and the same in every file."""

import csv
import importlib.util
import json

import numpy as np
import pytest
from pyarrow import parquet
from small_run import assembly

from pipeline.engine.evaluation import Evaluator
from pipeline.errors import UsageError
from pipeline.serving import prediction_files, split_predictions
from pipeline.serving.prediction_files import PREFIX, Batch, Layout

FIELDS = {"model": "models_for_tests:linear", "optimizer": "sgd", "source": "fake:300"}


@pytest.fixture(scope="module")
def parts():
    return assembly(8, **FIELDS)


def predicted(parts, towers: int, batch: int = 7) -> list:
    evaluator = Evaluator(parts.model, assembly(towers, **FIELDS).towers(parts.initial()), batch)
    return list(split_predictions.batches(evaluator, parts.splits.test))


def test_predictions_are_those_of_an_evaluation_on_any_number_of_towers(parts):
    tally = Evaluator(parts.model, assembly(2, **FIELDS).towers(parts.initial()), 7).tally(parts.splits.test)
    rows = {}
    for towers in (1, 3, 8):
        batches = predicted(parts, towers)
        assert [i for batch in batches for i in batch.examples] == list(range(50))
        pairs = [pair for batch in batches for pair in zip(batch.labels, batch.predicted, strict=True)]
        confusion = np.zeros([10, 10], int)
        np.add.at(confusion, tuple(np.array(pairs, int).T), 1)
        np.testing.assert_array_equal(confusion, tally.confusion)
        assert [where for batch in batches for where in batch.where][49] == parts.splits.test.where(49)
        rows[towers] = np.concatenate([batch.probabilities for batch in batches])
    assert rows[1].tobytes() == rows[3].tobytes() == rows[8].tobytes()
    mistake = tally.mistakes[0]
    assert (
        rows[1][mistake.example, mistake.predicted]
        == np.float32(mistake.confidence)
        == rows[1].max(axis=1)[mistake.example]
    )


def test_all_files_hold_the_same(parts, tmp_path):
    batches, names = predicted(parts, 2), tuple('0,"\n23456789')[:10]  # a name with a comma, a quote, a line's end
    for suffix in prediction_files.FORMS:
        with prediction_files.opened(tmp_path / f"all{suffix}", Layout(names, False)) as write:
            for batch in batches:
                write(batch)
    table = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    with open(tmp_path / "all.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(table) == len(lines) == len(rows) == 50
    exact = np.concatenate([batch.probabilities for batch in batches])
    for i, (a, b, c) in enumerate(zip(table, lines, rows, strict=True)):
        for name in ("where", "label", "predicted"):
            assert a[name] == b[name] == c[name]
        assert a["example"] == b["example"] == int(c["example"]) == i
        assert a["confidence"] == b["confidence"] == float(np.float32(c["confidence"])) == exact[i].max()
        for k, name in enumerate(names):
            assert a[PREFIX + name] == b["probabilities"][name] == np.float32(c[PREFIX + name]) == exact[i, k]
    assert list(table[0]) == list(rows[0])


def test_lists_of_classes(tmp_path):
    some = np.array([[0.9, 0.2, 0.75], [0.1, 0.3, 0.5]], np.float32)
    batch = Batch(range(4, 6), ["x", "y"], [["a", "c"], []], [["a"], ["b"]], some)
    for suffix in prediction_files.FORMS:
        with prediction_files.opened(tmp_path / f"all{suffix}", Layout("abc", True)) as write:
            write(batch)
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [(line["labels"], line["predicted"]) for line in lines] == [(["a", "c"], ["a"]), ([], ["b"])]
    for line, row in zip(lines, parquet.read_table(tmp_path / "all.parquet").to_pylist(), strict=True):
        assert all(row[name] == line[name] for name in ("example", "where", "labels", "predicted"))
        assert [row[PREFIX + name] for name in "abc"] == list(line["probabilities"].values())
    assert (tmp_path / "all.csv").read_text() == (
        "example,where,labels,predicted,probability_a,probability_b,probability_c\n"
        "4,x,a|c,a,0.899999976,0.200000003,0.75\n5,y,,b,0.100000001,0.300000012,0.5\n"
    )


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("all.txt", "output={dir}/all.txt is of no known form; end its name with .csv, .jsonl, .parquet"),
        ("no/all.csv", "output={dir}/no/all.csv lies in {dir}/no, which is no directory; make it first"),
        (
            "all.parquet",
            "output={dir}/all.parquet needs pyarrow, which is not installed; pip install 'tower-pipeline[parq",
        ),
    ],
)
def test_files_that_cannot_be_written_are_refused(output, line, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        prediction_files.check(tmp_path / output)
    assert str(caught.value).startswith(line.format(dir=tmp_path))
